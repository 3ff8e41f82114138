-- Gives claims up. ARGV: time to live in ms, then for each of KEYS: holder, and 1 where it is in doubt.

for k = 1, #KEYS do
  local known = redis.call('GET', KEYS[k])
  if known and string.sub(known, 1, 2) == 'c:' and is_ours(known) and string.sub(known, 3, 43) == ARGV[2 * k] then
    if ARGV[2 * k + 1] == '1' then
      redis.call('SET', KEYS[k], 'i:', 'PX', ARGV[1])
    else
      redis.call('DEL', KEYS[k])
    end
  end
end
return 1
