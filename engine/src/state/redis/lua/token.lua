-- The next token: higher than the last one, than the highest that the asking member knows (ARGV[1]), and no lower than
-- the clock in ms, so that tokens rise even where the last one has been lost. All are far below 2^53, which
-- numbers are exact to.

local last = redis.call('GET', KEYS[1]) or '0'
if not string.find(last, '^%d+$') or #last > 15 then
  return 'x'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local token = string.format('%.0f', math.max(last + 1, ARGV[1] + 1, now))
redis.call('SET', KEYS[1], token)
return token
