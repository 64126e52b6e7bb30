"use strict";

/* Before anything is drawn: the theme that the reader chose, if any; otherwise that of the system. */

(() => {
  try {
    const chosen = localStorage.getItem("suite-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    /* storage may be forbidden: the system's theme stays */
  }
  document.documentElement.classList.add("scripted");
})();
