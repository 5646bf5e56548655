-- A worker tells what its engine has.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: digest of the engine's definitions, facts (JSON), the definitions or nothing.
-- Returns whether the definitions are there.
local digest, facts, definitions = unpack(ARGV)
local told, named, revision = P .. 'engines', P .. 'engine:' .. digest, P .. 'engines:revision'
if call('GET', P .. 'facts:' .. digest) ~= facts then
  -- Begun at the time, so that none comes twice, also where Redis lost all.
  call('SET', revision, integer(math.max(clock(), count(call('GET', revision)) + 1)))
end
call('ZADD', told, integer(clock()), digest)
call('SET', P .. 'facts:' .. digest, facts, 'EX', KEEP_ENGINES)
call('EXPIRE', told, KEEP_ENGINES)
call('EXPIRE', revision, KEEP_ENGINES)
if definitions ~= '' then call('SET', named, definitions, 'EX', KEEP_ENGINES) end
for _, old in ipairs(call('ZRANGE', told, 0, -MAX_ENGINES - 1)) do
  call('ZREM', told, old)
  call('UNLINK', P .. 'facts:' .. old, P .. 'engine:' .. old)
end
return call('EXPIRE', named, KEEP_ENGINES) == 1
