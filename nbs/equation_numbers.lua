-- For Quarto: MathML has no \tag, so the number of an equation is taken out of the formula and stands beside it.
function Math(element)
  if element.mathtype ~= "DisplayMath" then return nil end
  local number
  local tex = element.text:gsub("\\tag{([^}]*)}", function(n) number = n; return "" end)
  local inside = { pandoc.Span({ pandoc.Math("DisplayMath", tex) }, { class = "formula" }) }
  if number then table.insert(inside, pandoc.Span({ pandoc.Str("(" .. number .. ")") }, { class = "number" })) end
  return pandoc.Span(inside, { class = "equation" })
end
