local actions = {}
local suspended = obj.spec.suspend == true
local finished = false
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == "Succeeded" and condition.status == "True" then
      finished = true
    end
  end
end
actions["suspend"] = {["disabled"] = suspended or finished}
actions["resume"] = {["disabled"] = not suspended}
return actions
