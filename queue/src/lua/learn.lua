-- `gpu_ms` has by work key the GPU time of one unit, ms: the average of what finished tasks took, the newest counting most.
local NEWEST = 0.2

local function expected_ms(s, learned)
  return s.units * (learned or s.unit_ms)
end

local function read_learned(s)
  return tonumber(call('HGET', P .. 'gpu_ms', s.work))
end

-- As far as it says something new.
local function write_learned(s, learned, known)
  if known and math.abs(learned - known) < 0.001 * known then return end
  call('HSET', P .. 'gpu_ms', s.work, decimal(learned))
end

local function learn(s, gpu_ms, learned)
  local each = gpu_ms / s.units
  return learned and learned + NEWEST * (each - learned) or each
end
