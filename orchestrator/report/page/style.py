"""The page's CSS: light and dark theme by the reader's setting, narrow screens, print."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --faint: #5a626d; --line: #c9ced6;
  --panel: #f3f5f7; --link: #00558a; --warn: #8a3b00; --shade: #0000003a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #14171b; --faint: #a0a8b3; --line: #3a414a;
  --panel: #1d2227; --link: #7cc4f4; --warn: #ffb782; --shade: #ffffff4a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .7rem; padding-top: .6rem; border-top: 1px solid var(--line); }
p, ul { max-width: 48rem; margin: .6rem 0; }
a { color: var(--link); }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { position: static; }
.lead { font-size: 1.1rem; }
.note { color: var(--faint); }
.warning { border-left: 4px solid var(--warn); padding-left: .8rem; }
nav p { margin: .8rem 0 .1rem; font-weight: 600; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; max-width: none;
  margin: .2rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; margin: .8rem 0; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; margin: .8rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font: .9rem/1.5 ui-monospace, monospace; }
/* A shadow on each side where the table continues; covers that scroll with the table hide it at the table's end. */
.scroll { overflow: auto; margin: 1rem 0; background: linear-gradient(90deg, var(--paper) 40%, transparent) left,
  linear-gradient(270deg, var(--paper) 40%, transparent) right, linear-gradient(90deg, var(--shade), transparent) left,
  linear-gradient(270deg, var(--shade), transparent) right; background-repeat: no-repeat;
  background-size: 2.5rem 100%, 2.5rem 100%, .9rem 100%, .9rem 100%;
  background-attachment: local, local, scroll, scroll; }
.tall { max-height: 38rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0 0 .5rem; }
caption span { position: sticky; left: 0; display: inline-block; font-weight: 600;
  max-width: min(48rem, calc(100vw - 3.2rem)); }
th, td { padding: .3rem .8rem .3rem 0; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { position: sticky; top: 0; background: var(--paper); vertical-align: bottom; color: var(--faint);
  font-weight: 600; white-space: normal; max-width: 8rem; }
.dense { font-size: .8rem; }
.dense th, .dense td { padding-right: .45rem; }
th:first-child, .text, .prose { text-align: left; }
td.prose { white-space: normal; min-width: 12rem; max-width: 30rem; overflow-wrap: anywhere; }
tbody th { font-weight: 400; }
.faint th, .faint td { color: var(--faint); font-style: italic; }
button { font: inherit; color: inherit; background: none; border: 1px solid var(--line); border-radius: 5px;
  cursor: pointer; padding: .1rem .6rem; }
button:focus-visible, input:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
button.sort { border: 0; padding: 0; text-align: inherit; }
button.sort::after { content: "\\a0\\2195"; opacity: .45; }
[aria-sort=ascending] button.sort::after { content: "\\a0\\2191"; opacity: 1; }
[aria-sort=descending] button.sort::after { content: "\\a0\\2193"; opacity: 1; }
.command { position: relative; }
.command .copy { position: absolute; top: .5rem; right: .5rem; background: var(--paper); font-size: .85rem; }
.filter { display: block; margin: 1rem 0 -.4rem; color: var(--faint); }
.filter[hidden], .copy[hidden], tr[hidden] { display: none; }
.filter input { font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--line);
  border-radius: 5px; padding: .15rem .5rem; margin: 0 .6rem; width: min(22rem, 55vw); }
.long { content-visibility: auto; contain-intrinsic-size: 60rem 38rem; }
figure { margin: 1.2rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
figure img.raster { background: #ffffff; padding: .5rem; border-radius: 6px; }
figcaption { color: var(--faint); margin-top: .4rem; max-width: 48rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  .frame { overflow-x: auto; } figure img { max-width: 40rem; } }
@media print { .tall { max-height: none; overflow: visible; } nav, .skip { display: none; }
  section, figure { break-inside: avoid-page; } }
"""
