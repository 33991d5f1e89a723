-- Decides one order of two lines. It runs as a whole or not at all, so nobody sees what it takes before it decides.
-- KEYS: the order, the first SKU's stock, the second's. ARGV: the two quantities, submitted_at in milliseconds.
-- Returns 1 for confirmed, 0 for refused; a retry gets what was decided first, and changes nothing.
local confirmed = 'confirmed ' .. ARGV[3]
if not redis.call('SET', KEYS[1], confirmed, 'NX') then
    return string.sub(redis.call('GET', KEYS[1]), 1, 9) == 'confirmed' and 1 or 0
end
if redis.call('DECRBY', KEYS[2], ARGV[1]) >= 0 then
    if redis.call('DECRBY', KEYS[3], ARGV[2]) >= 0 then
        return 1
    end
    redis.call('INCRBY', KEYS[3], ARGV[2])
end
redis.call('INCRBY', KEYS[2], ARGV[1])
redis.call('SET', KEYS[1], 'refused ' .. ARGV[3])
return 0
