-- Tables and strings: a map of lists, closures, and a text that is cut into pieces.
local map = {}
for turn = 1, 300000 do
  local key = "k" .. (turn * 7919 % 30011)
  local list = map[key]
  if not list then list = {}; map[key] = list end
  list[#list + 1] = { turn, name = key }
end
local parts = {}
for key, list in pairs(map) do
  parts[#parts + 1] = key .. "=" .. #list
end
table.sort(parts)
local text, sum = table.concat(parts, ","), 0
for _, count in text:gmatch("(k%d+)=(%d+)") do
  sum = sum + tonumber(count)
end
assert(sum == 300000)
local functions = {}
for turn = 1, 200000 do
  functions[turn % 5000] = function() return turn end
end
