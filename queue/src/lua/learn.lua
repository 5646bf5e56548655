-- `gpu_ms` has by work key the GPU time of one unit, ms: the average of what finished tasks took, the newest counting most.
local NEWEST = 0.2

local function expected_ms(s, learnt)
  return s.units * (learnt or s.unit_ms)
end

local function read_learnt(s)
  return tonumber(call('HGET', P .. 'gpu_ms', s.work))
end

-- As far as it says something new.
local function write_learnt(s, learnt, known)
  if known and math.abs(learnt - known) < 0.001 * known then return end
  call('HSET', P .. 'gpu_ms', s.work, decimal(learnt))
end

local function learn(s, gpu_ms, learnt)
  local each = gpu_ms / s.units
  return learnt and learnt + NEWEST * (each - learnt) or each
end
