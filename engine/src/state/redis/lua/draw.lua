-- Takes requests out of a budget. ARGV: what it is, requests wanted, requests allowed, then for
--
--   r, a bucket:          requests that flow in each second             the key holds  r:<level>:<ms>
--   w, a rolling window:  its length and that of a part, in ms          w:<counts until, in ms>=<requests>,...
--   u, until a moment:    that moment, in ms                            u:<requests>
--
-- Answers: requests granted, for how many ms they may be made, in how many ms to ask again. A bucket's level is what has
-- been drawn from it and hasn't flowed in again, so that a key that isn't there is a full bucket.

local wanted, allowed, a, b = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local most = 2 ^ 52
local known = redis.call('GET', KEYS[1])
if known and string.sub(known, 1, 2) ~= ARGV[1] .. ':' then
  return 'x'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function grant(used)
  -- A part of a millionth is what sums of fractions may be off.
  return math.max(0, math.min(wanted, math.floor(allowed - used + 0.000001)))
end

local function keep(value, ms)
  redis.call('SET', KEYS[1], ARGV[1] .. ':' .. value, 'PX', string.format('%.0f', math.min(most, ms + 1000)))
end

if ARGV[1] == 'r' then
  local level, at = 0, now
  if known then
    level, at = string.match(known, '^r:([^:]+):(%d+)$')
    level, at = tonumber(level), tonumber(at)
    if not level or not at then
      return 'x'
    end
  end
  level = math.max(0, level - math.max(0, now - at) * a / 1000)
  local granted = grant(level)
  -- A clock that has gone back mustn't hold the bucket up until it has come there again.
  if granted > 0 or at > now then
    level = level + granted
    keep(string.format('%.17g:%.0f', level, now), math.ceil(level * 1000 / a))
  end
  local again = granted > 0 and 0 or math.max(1, math.ceil((level + 1 - allowed) * 1000 / a))
  return { granted, 1000, math.min(most, again) }
end

if ARGV[1] == 'w' then
  local parts, used = {}, 0
  for till, count in string.gmatch(known or '', '(%d+)=(%d+)') do
    till, count = tonumber(till), tonumber(count)
    if till > now then
      parts[#parts + 1] = { till, count }
      used = used + count
    end
  end
  local granted = grant(used)
  if granted == 0 then
    table.sort(parts, function(one, other) return one[1] < other[1] end)
    for _, part in ipairs(parts) do
      used = used - part[2]
      if used < allowed then
        return { 0, b, part[1] - now }
      end
    end
    return { 0, b, a }
  end
  -- It counts until the part in which it was drawn is older than the window, and for as long as it may be made.
  local till = (math.floor(now / b) + 1) * b + a + b
  local last, texts, found = till, {}, false
  for _, part in ipairs(parts) do
    if part[1] == till then
      part[2] = part[2] + granted
      found = true
    end
    last = math.max(last, part[1])
    texts[#texts + 1] = string.format('%.0f=%.0f', part[1], part[2])
  end
  if not found then
    texts[#texts + 1] = string.format('%.0f=%.0f', till, granted)
  end
  keep(table.concat(texts, ','), last - now)
  return { granted, b, 0 }
end

if a <= now then
  return { 0, 0, 1000 }
end
local used = tonumber(string.sub(known or 'u:0', 3))
if not used then
  return 'x'
end
local granted = grant(used)
if granted == 0 then
  return { 0, a - now, math.max(1000, a - now) }
end
-- A clock that goes back a little mustn't open the window again.
keep(string.format('%.0f', used + granted), a - now + 60000)
return { granted, a - now, 0 }
