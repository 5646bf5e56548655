-- The queue's scripts, as Redis gets them: Lua 5.1 with Redis' own libraries and nothing of the file system.
std = "lua51"
read_globals = { "redis", "cjson", "cmsgpack", "bit", "struct", "KEYS", "ARGV" }
-- As rustfmt.toml has it for the programs, for lines that say what a script takes and returns.
max_line_length = 130
