// SPDX-License-Identifier: Apache-2.0
// Before the first paint: dark or light, so that the page does not flash. The same rule as src/state/theme.ts.
(function () {
  var wanted = new URLSearchParams(location.search).get("theme");
  try {
    wanted = wanted || localStorage.getItem("flowgauge.theme");
  } catch (error) {
    // A browser without storage follows the system.
  }
  var dark = wanted ? wanted === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.classList.toggle("pf-v6-theme-dark", dark);
})();
