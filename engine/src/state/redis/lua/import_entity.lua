-- Replaces an entity. ARGV: time to live in ms, a new mark, then names and values of fields.

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'hash' then
  return 'x'
end
redis.call('DEL', KEYS[1])
for a = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[a], ARGV[a + 1])
end
if #ARGV > 2 then
  redis.call('HSET', KEYS[1], 'n', ARGV[2])
end
if ARGV[1] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 's'
