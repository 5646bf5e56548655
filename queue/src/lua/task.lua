-- A touched task stands in its job's hash, by its index:
--   held ATTEMPT STARTED CHARGE WORKER\nHISTORY   a worker has it; CHARGE is the GPU time charged for it, ms
--   back ATTEMPTS\nHISTORY                        it waits again
--   done ATTEMPTS FINISHED WORKER\nRESULT         its image is stored
--   dead ATTEMPTS FINISHED\nERROR                 it is a dead letter
-- HISTORY is empty or JSON: failures, interruptions, crashes, crashed_on, doubted_by, excluded (workers), and charged,
-- while it goes before others and need not be charged again.
local function pack_held(attempt, started, charge, worker, history)
  return ('held %d %d %.3f %s\n%s'):format(attempt, started, charge, worker, history)
end

-- Joined and not formatted: a result may be long.
local function pack_done(attempt, finished, worker, result)
  return 'done ' .. attempt .. ' ' .. integer(finished) .. ' ' .. worker .. '\n' .. result
end

-- nil when nobody holds it.
local function read_held(state)
  local attempt, started, charge, worker, history = (state or ''):match('^held (%d+) (%d+) ([%d.]+) ([^\n]*)\n(.*)$')
  if not attempt then return nil end
  return {
    attempt = tonumber(attempt), started = tonumber(started), charge = tonumber(charge), worker = worker,
    history = history,
  }
end

-- Attempts so far and the history; nil when it does not wait again.
local function read_back(state)
  local attempts, history = (state or ''):match('^back (%d+)\n(.*)$')
  if not attempts then return nil end
  return tonumber(attempts), history
end

-- What stands in a history; an unreadable one is empty.
local function read_history(text)
  if text == '' then return {} end
  local ok, history = pcall(cjson.decode, text)
  return ok and type(history) == 'table' and history or {}
end

local function contains(list, value)
  for _, item in ipairs(list or {}) do
    if item == value then return true end
  end
  return false
end

-- Adds a worker to a list of few.
local function add_worker(list, worker)
  list = list or {}
  if not contains(list, worker) then list[#list + 1] = worker end
  if #list > 8 then table.remove(list, 1) end
  return list
end
