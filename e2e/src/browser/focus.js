// How the element looks, as far as it shows focus, once it looks as it will.
const [element] = arguments;
return settled().then(() => {
  const { outlineStyle, outlineWidth, outlineColor, boxShadow } = getComputedStyle(element);
  const outline = outlineStyle === "none" || outlineWidth === "0px" ? "none" : `${outlineStyle} ${outlineWidth} ${outlineColor}`;
  return { element: describe(element), name: (element.ariaLabel || element.innerText || "").trim(), look: `${outline}; ${boxShadow}` };
});
