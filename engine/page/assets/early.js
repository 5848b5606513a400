// Before anything is drawn: the theme and language that were chosen here last time.
"use strict";
(function () {
  let theme = null, language = null;
  try {
    theme = localStorage.getItem("theme");
    language = localStorage.getItem("language");
  } catch (_) { /* storage is switched off: the system's theme and the browser's language hold */ }
  const root = document.documentElement;
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (language === "ja" || language === "en") root.lang = language;
  const asked = new URLSearchParams(location.search).get("lang");
  if (asked === "ja" || asked === "en") root.lang = asked;
})();
