-- What workers told of their engines.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: none.
-- Returns the time now, ms; then of each engine, the last one told of first: facts (JSON), when it was last told of, ms.
local answers = {}
local told = call('ZRANGE', P .. 'engines', 0, -1, 'REV', 'WITHSCORES')
for i = 1, #told, 2 do
  local facts = call('GET', P .. 'facts:' .. told[i])
  if facts then answers[#answers + 1] = { facts, tonumber(told[i + 1]) } end
end
return { clock(), answers }
