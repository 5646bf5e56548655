-- What workers told of their engines.
-- KEYS[1]: what the pool's keys begin with.
-- ARGV: the revision that was read last.
-- Returns the time now, ms; the revision; then of each engine, the last one told of first: digest, when it was last told
-- of, ms, facts (JSON). Facts are left out when they are those of that revision.
local answers = {}
local revision = count(call('GET', P .. 'engines:revision'))
local told = call('ZRANGE', P .. 'engines', 0, -1, 'REV', 'WITHSCORES')
for i = 1, #told, 2 do
  local facts = revision ~= tonumber(ARGV[1]) and call('GET', P .. 'facts:' .. told[i]) or ''
  answers[#answers + 1] = { told[i], tonumber(told[i + 1]), facts }
end
return { clock(), revision, answers }
