-- Makes the stream of results and its one group, if they are not there.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: the group.
-- Returns nothing.
local made = redis.pcall('XGROUP', 'CREATE', P .. 'results', ARGV[1], '0', 'MKSTREAM')
if type(made) == 'table' and made.err and not made.err:find('BUSYGROUP') then return made end
