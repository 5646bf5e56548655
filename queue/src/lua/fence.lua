-- An operator's script has its term as ARGV[1]; 0 is nobody's. A higher term than the leader's makes its operator the
-- leader; with a lower one nothing is to be done but to return this error.
local function deposed(term)
  term = tonumber(term)
  if term == 0 then return nil end
  local leader = count(call('GET', P .. 'leader'))
  if term < leader then return redis.error_reply('DEPOSED by the leader of term ' .. integer(leader)) end
  if term > leader then call('SET', P .. 'leader', integer(term)) end
  return nil
end
