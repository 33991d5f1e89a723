-- Decides many orders of two lines each. It runs as a whole or not at all.
-- KEYS: for each order, the order, the first SKU's stock, the second's. ARGV: for each order, the two quantities.
-- Returns a letter for each order, c for confirmed and r for refused; a retry gets what was decided first, and changes nothing.
local decided = {}
for order = 1, #KEYS / 3 do
    local id, first, second = KEYS[3 * order - 2], KEYS[3 * order - 1], KEYS[3 * order]
    local quantity_1, quantity_2 = ARGV[2 * order - 1], ARGV[2 * order]
    local answer = 'c'
    if redis.call('SET', id, 'c', 'NX') then
        if redis.call('DECRBY', first, quantity_1) < 0 then
            redis.call('INCRBY', first, quantity_1)
            answer = 'r'
        elseif redis.call('DECRBY', second, quantity_2) < 0 then
            redis.call('INCRBY', second, quantity_2)
            redis.call('INCRBY', first, quantity_1)
            answer = 'r'
        end
        if answer == 'r' then
            redis.call('SET', id, 'r')
        end
    else
        answer = string.sub(redis.call('GET', id), 1, 1)
    end
    decided[order] = answer
end
return table.concat(decided)
