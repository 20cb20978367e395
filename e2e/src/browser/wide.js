// The page must be as wide as its window. Gives the elements that reach beyond, without their descendants.
const room = document.documentElement.clientWidth;
const width = document.scrollingElement.scrollWidth;
if (width <= room) return null;
const reaches = (it) => it && it.getBoundingClientRect().right > room + 0.5;
const culprits = Array.from(document.body.querySelectorAll("*"))
  .filter((it) => reaches(it) && (it.parentElement === document.body || !reaches(it.parentElement)));
return `${width} px where ${room} px are: ${culprits.map(describe).join(", ")}`;
