// An element as a selector would name it, short enough for a list of failures.
function describe(element) {
  const name = element.localName;
  if (element.id) return `${name}#${element.id}`;
  const telling = ["name", "href", "type", "class"].find((it) => element.getAttribute(it));
  return telling ? `${name}[${telling}="${element.getAttribute(telling)}"]` : name;
}

// What is in transition has neither the old look nor the new one. Other animations may never end.
function settled() {
  const running = document.getAnimations().filter((it) => it instanceof CSSTransition);
  return Promise.allSettled(running.map((it) => it.finished));
}
