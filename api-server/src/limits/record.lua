-- Notes what a job counts.
-- KEYS: the hashes of the tenant's day and of its month.
-- ARGV: job's name, API key's name, images, cost in millionths.
-- Returns nothing.
note(KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
