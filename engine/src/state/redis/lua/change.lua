-- Changes one entity, unless it has changed since it was looked at: its mark `n` is another one then. ARGV: time to live in
-- ms, the mark that was seen, a new one, then for each change: ending, letter, fingerprint, id in the CRM, version.

if (redis.call('HGET', KEYS[1], 'n') or '') ~= ARGV[2] then
  return 0
end
for a = 4, #ARGV, 5 do
  change(KEYS[1], ARGV[1], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4])
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'n', ARGV[3])
end
return 1
