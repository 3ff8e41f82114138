-- Remembers a key of another store. ARGV: 'i:' or 'd:<fingerprint>', time to live in ms. Nothing becomes less certain, or
-- is forgotten sooner.

local known = redis.call('GET', KEYS[1])
if known and not is_ours(known) then
  return 'x'
end
local keep = tonumber(ARGV[2])
if known then
  keep = math.max(keep, redis.call('PTTL', KEYS[1]))
  local kind = string.sub(known, 1, 2)
  if kind == 'd:' or (kind == 'c:' and ARGV[1] == 'i:') then
    ARGV[1] = known
  end
  if kind == 'c:' and ARGV[1] == known then
    ARGV[1] = string.sub(known, 1, 61) .. '1' .. string.sub(known, 63)
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', string.format('%.0f', keep))
return 's'
