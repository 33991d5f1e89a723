//! Floor 4: the process. The engine that wires and supervises the shards, and what shows them: the admin server, the verdict, the console.

pub mod admin;
pub mod console;
pub mod door;
pub mod engine;
pub mod flow;
pub mod http;
pub mod judging;
pub mod monitoring;
pub mod outward;
pub mod queries;
pub mod verdict;
