-- Makes the stream of results and its one group, if they are not there. ARGV: the group.
local made = redis.pcall('XGROUP', 'CREATE', P .. 'results', ARGV[1], '0', 'MKSTREAM')
if type(made) == 'table' and made.err and not made.err:find('BUSYGROUP') then return made end
