// The look of reports: one style sheet, light and dark, screen and paper.

/** Colours that people with any colour vision tell apart, for light and for dark ground. */
const LIGHT = ["#1f6fb2", "#d1600a", "#1b8a5a", "#a3409b", "#b58900", "#5b6abf", "#c0392b", "#5f6b76"];
const DARK = ["#6db3f2", "#f59b52", "#58c795", "#d98ad3", "#e3bd4a", "#a3aef2", "#f0867a", "#a5b0bb"];

const variables = (colors: readonly string[]) => colors.map((color, i) => `--c${i}:${color}`).join(";");
const classes = LIGHT.map((_, i) => `.c${i}{--c:var(--c${i})}`).join("");

const light = `${variables(LIGHT)};--bg:#f7f6f3;--card:#ffffff;--ink:#1d2329;--soft:#5a646e;--faint:#8b949d;--line:#e3e1db;--grid:#ebe9e4;--good:#14713f;--good-bg:#e2f3e8;--bad:#a62a1c;--bad-bg:#fbe6e3;--warn:#7d5800;--warn-bg:#fbf0d5;--accent:#b07a14;--shade:rgb(0 0 0/.16)`;
const dark = `${variables(DARK)};--bg:#14171a;--card:#1c2024;--ink:#e6e8ea;--soft:#a4adb6;--faint:#7a848e;--line:#2e343a;--grid:#282d33;--good:#6fd39a;--good-bg:#16341f;--bad:#f59284;--bad-bg:#40201b;--warn:#e7c46a;--warn-bg:#3a2f12;--accent:#e0b04c;--shade:rgb(0 0 0/.6)`;

/** Colours of light and dark, as the reader's system wants them. */
export const THEME = `:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
${classes}`;

/** A table that goes on to the right has a shadow there until its end is seen. */
export const SCROLL_STYLE = `.scroll{overflow-x:auto;background:linear-gradient(to right,var(--ground,var(--card)) 30%,transparent) left/36px 100% no-repeat local,linear-gradient(to left,var(--ground,var(--card)) 30%,transparent) right/36px 100% no-repeat local,linear-gradient(to right,var(--shade),transparent) left/14px 100% no-repeat scroll,linear-gradient(to left,var(--shade),transparent) right/14px 100% no-repeat scroll}`;

/** Charts, on the page and in reports. Their text is never scaled; a narrow place has fewer labels. */
export const CHART_STYLE = `.plot{margin-top:8px;container-type:inline-size}
.plot svg{display:block;overflow:visible}
svg text{font-size:12px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg text.title{font-size:14px;font-weight:600;fill:var(--ink)}
.grid line{stroke:var(--grid)}
.line{fill:none;stroke:var(--c);stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round;vector-effect:non-scaling-stroke}
.line.raw{stroke-width:1;opacity:.3}
.band{fill:var(--c);opacity:.16}
.dot{fill:var(--c);opacity:.35}
.arrow{fill:var(--c);stroke:var(--card);stroke-width:1}
.mark{fill:var(--c);stroke:var(--card);stroke-width:1.5}
.hover{fill:var(--c);opacity:0}
.hover:hover{opacity:1}
.reference line{stroke:var(--faint);stroke-dasharray:4 4}
.reference text{fill:var(--soft);paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
.bars{display:grid;grid-template-columns:fit-content(40%) minmax(0,1fr) max-content;column-gap:12px;align-items:center}
.bars .name{font-size:13px;text-align:right;overflow-wrap:anywhere}
.bars .value{font-size:13px;font-weight:600;text-align:right;font-variant-numeric:tabular-nums}
.bar{fill:var(--c);opacity:.85}
.whisker{stroke:var(--c);stroke-width:2.4;stroke-linecap:round}
.bar+.whisker{stroke:var(--ink);stroke-width:1.6}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin:10px 0 0;padding:0;list-style:none;font-size:.85rem;overflow-wrap:anywhere}
.legend li{display:inline-flex;align-items:center;gap:8px}
.legend svg{flex:none}
@container (max-width:680px){.of-page .dense{display:none}}
@container (max-width:400px){.of-page .sparse,.of-panel .dense{display:none}}
@container (max-width:260px){.of-panel .sparse{display:none}}
.axis{container-type:inline-size}
@container (max-width:360px){.axis .dense{display:none}}
@container (max-width:150px){.axis .sparse{display:none}}
@media print{.hover{display:none}}`;

export const STYLE = `
${THEME}
@media print{:root{${light};--bg:#fff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1140px;margin:0 auto;padding:40px 24px 64px}
h1,h2,h3{line-height:1.25;margin:0;text-wrap:balance}
h1{font-size:1.9rem;letter-spacing:-.01em}
h2{font-size:1.2rem}
h3{font-size:1rem}
p{margin:.5em 0;max-width:75ch}
.brand{display:flex;align-items:center;gap:.5em;color:var(--soft);font-size:.8rem;letter-spacing:.09em;text-transform:uppercase;margin-bottom:10px}
.brand i{width:.85em;height:.85em;border-radius:2px;background:var(--accent);transform:rotate(45deg)}
.headline{font-size:1.18rem;color:var(--soft);margin:.7em 0 0;max-width:66ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:14px;margin:26px 0 0;padding:0;list-style:none}
.tiles li,section,.panel{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tiles li{padding:15px 18px}
.tiles .label{display:block;font-size:.82rem;color:var(--soft)}
.tiles .figure{display:block;font-size:1.7rem;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tiles .word{font-size:1.15rem;letter-spacing:0;line-height:1.9}
.tiles .detail{display:block;font-size:.82rem;color:var(--soft)}
.good{color:var(--good)}.bad{color:var(--bad)}
section{margin-top:20px;padding:22px 24px}
section.bare{background:none;border:0;padding:0;margin-top:34px}
section>p:last-child{margin-bottom:0}
.caption{color:var(--soft);font-size:.93rem;margin:.25em 0 .4em}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:16px;margin-top:14px}
.panel{padding:18px 18px 12px;min-width:0}
${CHART_STYLE}
${SCROLL_STYLE}
table{border-collapse:collapse;width:100%;font-size:.93rem;margin-top:10px}
th,td{padding:8px 14px 8px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:baseline}
th{font-weight:600;color:var(--soft);font-size:.85rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;padding-right:0;padding-left:22px}
td.n{white-space:nowrap}
tbody tr:last-child td{border-bottom:0}
td.n+td:not(.n),th.n+th:not(.n){padding-left:22px}
td:first-child:not(.n){min-width:9em}
.interval{color:var(--soft);font-size:.85em;margin-left:.3em}
.stacked .interval{display:block;margin:0}
.best{font-weight:700}
.note,.empty{color:var(--soft);font-size:.86rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:5px 22px;margin:12px 0 0;font-size:.93rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.sample{border-top:1px solid var(--line);padding:18px 0 6px;margin-top:16px;break-inside:avoid}
.prompt{display:flex;gap:12px;align-items:baseline}
.prompt .text{font-weight:550}
.task{flex:none;font-size:.75rem;color:var(--soft);border:1px solid var(--line);border-radius:99px;padding:1px 10px}
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:14px;margin-top:12px}
.answer{background:var(--bg);border-radius:8px;padding:12px 14px;min-width:0}
.answer h3{margin:0 0 6px;font-size:.82rem;color:var(--soft);font-weight:600}
.text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
.answer .text{font-size:.9rem;max-height:22em;overflow-y:auto}
.facts{display:flex;flex-wrap:wrap;gap:2px 14px;margin-top:8px;font-size:.8rem;color:var(--soft);font-variant-numeric:tabular-nums}
.facts b{color:var(--ink);font-weight:600}
.verdicts{margin:8px 0 0;padding:0;list-style:none;display:grid;gap:4px;font-size:.8rem}
.badge{display:inline-block;border-radius:4px;padding:0 7px;font-weight:600;white-space:nowrap}
.satisfied .badge{color:var(--good);background:var(--good-bg)}
.violated .badge{color:var(--bad);background:var(--bad-bg)}
.failed .badge{color:var(--warn);background:var(--warn-bg)}
.reason{color:var(--soft);margin-left:.5em;unicode-bidi:isolate;overflow-wrap:anywhere}
pre{background:var(--bg);border-radius:8px;padding:14px 16px;overflow-x:auto;font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:12px 0 0}
summary{cursor:pointer;font-weight:600}
footer{color:var(--soft);font-size:.84rem;margin-top:36px}
@media (max-width:560px){main{padding:24px 14px 48px}section{padding:16px}h1{font-size:1.5rem}.interval{display:block;margin:0}}
@media print{body{font-size:11pt}main{max-width:none;padding:0}section,.panel,.tiles li{break-inside:avoid}.scroll,.answer .text{overflow:visible;max-height:none}}
`;
