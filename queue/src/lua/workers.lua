-- `worker:NAME`: order (work, hold, retire, doomed, evicted), deadline (when its machine stops, if it is doomed), seen,
-- ordered, idle (since when it holds nothing; 0: it was given work), loaded and loaded_id (a model and its digest), state,
-- capacity, notice and until (what its machine said), trouble; refuted and confirmed (of the tasks that it doubted or that
-- ended its engine, how many another worker made, and how many are dead by another worker's word). `workers` has their
-- names by when they were last seen.

-- A worker counts as there if it was seen within this time, ms.
local LATELY = 15000
-- A script looks at this many other workers at most.
local FEW = 64

local function remember_worker(name, now, ...)
  local key = P .. 'worker:' .. name
  call('HSET', key, ...)
  call('ZADD', P .. 'workers', integer(now), name)
end

-- A task has ended on `worker`: for those who doubted it before, or whose engines ended under it, that is `verdict`:
-- refuted or confirmed.
local function settle_doubts(history, worker, verdict)
  local doubters = {}
  for _, list in ipairs({ history.doubted_by or {}, history.crashed_on or {} }) do
    for _, name in ipairs(list) do doubters[name] = true end
  end
  doubters[worker] = nil
  for name in pairs(doubters) do
    local key = P .. 'worker:' .. name
    if call('EXISTS', key) == 1 then call('HINCRBY', key, verdict, 1) end
  end
end

local function give_order(name, order, deadline, now)
  if call('HGET', P .. 'worker:' .. name, 'order') == 'evicted' then order, deadline = 'evicted', 0 end
  remember_worker(name, now, 'order', order, 'deadline', integer(deadline), 'ordered', integer(now))
  ring('order ' .. name)
end

-- What a capacity serves: pairs of a class's name and its promise in ms.
local function classes_of(capacity)
  local packed = call('HGET', P .. 'settings', 'classes:' .. capacity)
  return packed and cmsgpack.unpack(packed) or {}
end

local function serves(capacity, class)
  for _, setting in ipairs(classes_of(capacity)) do
    if setting[1] == class then return true end
  end
  return false
end

-- Calls `found` with each other worker that takes tasks of the class, and its loaded model, until it says true.
local function any_other(worker, class, now, found)
  local names = call('ZRANGE', P .. 'workers', '+inf', integer(now - LATELY), 'BYSCORE', 'REV', 'LIMIT', 0, FEW)
  local known = {}
  for _, name in ipairs(names) do
    if name ~= worker then
      local order, state, capacity, seen, loaded_id =
        unpack(call('HMGET', P .. 'worker:' .. name, 'order', 'state', 'capacity', 'seen', 'loaded_id'))
      local there = (order or 'work') == 'work' and state == 'ready' and now - count(seen) < LATELY
      if there and known[capacity] == nil then known[capacity] = serves(capacity, class) end
      if there and known[capacity] and found(name, loaded_id) then return true end
    end
  end
  return false
end

local function another_lives(worker, class, now)
  return any_other(worker, class, now, function() return true end)
end
