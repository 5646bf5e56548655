-- Begins the scripts that note what a job of a tenant counts. To note the same again changes nothing, so every replica may.
local function add(hash, key, field, n)
  if n ~= 0 then
    redis.call('HINCRBY', hash, field, n)
    redis.call('HINCRBY', hash, 'key:' .. key .. ':' .. field, n)
  end
end

-- What was noted of a job: images and cost; nil: nothing.
local function noted(day, name)
  local old = redis.call('HGET', day, 'job:' .. name)
  if not old then return nil end
  local images, micros = old:match('^(%d+) (%d+)$')
  return tonumber(images), tonumber(micros)
end

-- `day`, `month`: the hashes of the tenant. `micros`: the cost in millionths; what was noted once never counts less.
local function note(day, month, name, key, images, micros)
  local old_images, old_micros = noted(day, name)
  micros = math.max(micros, old_micros or 0)
  if images == old_images and micros == old_micros then return end
  redis.call('HSET', day, 'job:' .. name, ('%d %d'):format(images, micros))
  for _, hash in ipairs({ day, month }) do
    add(hash, key, 'jobs', old_images and 0 or 1)
    add(hash, key, 'images', images - (old_images or 0))
    add(hash, key, 'micros', micros - (old_micros or 0))
  end
  redis.call('EXPIRE', day, 3456000) -- 40 days
  redis.call('EXPIRE', month, 34560000) -- 400 days
end
