-- A flow is a tenant in a class, `CLASS:TENANT`; a line is what a flow has for one model, `CLASS:TENANT:MODEL`. Tenants and
-- models stand there as digests of 16 characters.
local function flow_of(class, tenant) return class .. ':' .. tenant end
local function line_key(flow, model) return P .. 'line:' .. flow .. ':' .. model end

-- A task is `UID/INDEX`.
local function task_of(uid, index) return uid .. '/' .. index end
local function cut(task)
  local slash = task:find('/', 1, true)
  if not slash then return task, nil end
  return task:sub(1, slash - 1), task:sub(slash + 1)
end

-- A lease is `UID/INDEX@WORKER`.
local function lease_of(task, worker) return task .. '@' .. worker end
local function parts_of(lease) return lease:match('^([^/]*/%d+)@(.*)$') end
