-- Claims. ARGV: lease and time to live in ms, then for each request: holder, partition, and the name of its letter's
-- field, which is empty where the entity isn't to be read. KEYS: for each request its key and, if it is to be read, its
-- entity.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local till = string.format('%016.0f', now + ARGV[1])

local function decide(known, holder, place)
  if not known then
    return 'g', '0'
  elseif not is_ours(known) then
    return 'x'
  elseif known == 'i:' then
    return 'g', '1'
  elseif string.sub(known, 1, 2) == 'd:' then
    return 'd', string.sub(known, 3)
  elseif string.sub(known, 3, 43) == holder then
    return 'g', string.sub(known, 62, 62)
  end
  if string.sub(known, 64) == place then
    local theirs, ours = string.sub(known, 3, 22), string.sub(holder, 1, 20)
    if theirs > ours then
      return 'f'
    elseif theirs < ours then
      return 'g', '1'
    end
  end
  if tonumber(string.sub(known, 45, 60)) <= now then
    return 'g', '1'
  end
  return 'h'
end

local answers = {}
local k = 1
for a = 3, #ARGV, 3 do
  local holder, place, letter = ARGV[a], ARGV[a + 1], ARGV[a + 2]
  local key, entity = KEYS[k], nil
  k = k + 1
  if letter ~= '' then
    entity = KEYS[k]
    k = k + 1
  end
  local answer, detail = decide(redis.call('GET', key), holder, place)
  local known = false
  if answer == 'g' then
    if entity then
      known = redis.call('HMGET', entity, 'r', 'v', 'f', 'c', letter)
    end
    redis.call('SET', key, 'c:' .. holder .. ':' .. till .. ':' .. detail .. ':' .. place, 'PX', ARGV[2])
  end
  answers[#answers + 1] = { answer, detail or false, known }
end
return answers
