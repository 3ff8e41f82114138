-- Keeps a note. ARGV: its value. What has been kept begins with `n:`.

local known = redis.call('GET', KEYS[1])
if known and string.sub(known, 1, 2) ~= 'n:' then
  return 'x'
end
redis.call('SET', KEYS[1], 'n:' .. ARGV[1])
return 's'
