-- The operator has queued every unfinished job since the server's run was this.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: term, the run.
-- Returns nothing.
local fenced = deposed(ARGV[1])
if fenced then return fenced end
call('SET', P .. 'epoch', ARGV[2])
