/** The page's own style: light and dark, wide and narrow, and nothing that moves for who wants no motion. */
export const STYLE = `
:root{color-scheme:light dark;--ground:#fff;--panel:#f6f7f8;--ink:#17191c;--soft:#5b626b;--line:#d9dde2;--good:#146c2e;--warn:#8a5300;--bad:#b3261e;--dark:#6b3fa0;--mark:#1f5fbf;--bar:#8fb3e8}
@media (prefers-color-scheme:dark){:root{--ground:#121417;--panel:#1b1e22;--ink:#e8eaed;--soft:#a0a7b0;--line:#32373d;--good:#6fd08c;--warn:#f2b45c;--bad:#ff8a80;--dark:#cfa8ff;--mark:#8ab4f8;--bar:#3d5c8f}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main,header,footer{max-width:1200px;margin:0 auto;padding:0 20px}
header{padding-top:20px}
h1{font-size:20px;margin:0}
h2{font-size:17px;margin:32px 0 8px}
h3{font-size:15px;margin:16px 0 6px}
p{margin:4px 0}
.skip{position:absolute;left:-999px}.skip:focus{left:12px;top:8px;background:var(--panel);padding:4px 10px;z-index:2}
.soft{color:var(--soft)}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}.dark{color:var(--dark)}
.contact{display:none;position:sticky;top:0;z-index:1;background:var(--bad);color:var(--ground);padding:8px 20px;font-weight:600}
.lost .contact{display:block}
.lost main{opacity:.55}
.figures{display:flex;flex-wrap:wrap;gap:8px 28px;margin:12px 0;padding:0}
.figures div{display:flex;flex-direction:column-reverse}
.figures dt{color:var(--soft);font-size:13px}
.figures dd{margin:0;font-size:22px;font-variant-numeric:tabular-nums}
.notice{border-left:4px solid var(--warn);background:var(--panel);padding:8px 12px;margin:8px 0}
.notice.bad{border-color:var(--bad);color:inherit}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:2px 0}
th,td{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
thead th{color:var(--soft);font-weight:600;font-size:13px}
tbody th{font-weight:600}
.n{text-align:right}
td.wrap{white-space:normal;min-width:16em}
main article{background:var(--panel);border-radius:6px;padding:10px 14px;margin:0 0 10px}
article h3{margin-top:0}
ul,ol{margin:4px 0;padding-left:20px}
code,pre{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
a{color:var(--mark)}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--ink);font:13px system-ui,sans-serif}
svg .soft{fill:var(--soft);font-size:12px}
svg .good{fill:var(--good)}svg .warn{fill:var(--warn)}svg .bad{fill:var(--bad)}svg .dark{fill:var(--dark)}
svg .strong{font-weight:600}
svg .tag{paint-order:stroke;stroke:var(--ground);stroke-width:6px;stroke-linejoin:round}
svg .node{fill:var(--panel);stroke:var(--line)}
svg .node.bad{stroke:var(--bad)}svg .node.warn{stroke:var(--warn)}
svg .link{fill:none;stroke:var(--bar);stroke-linecap:round;opacity:.8}
svg .link.none{stroke:var(--line);stroke-dasharray:3 5}
svg .link.held{stroke:var(--warn)}
svg .curve{fill:none;stroke:var(--mark);stroke-width:1.5}
svg .curve.bad{stroke:var(--bad)}
.spark{display:inline-block;width:120px;height:24px;vertical-align:middle}
.checks{display:inline-flex;gap:1px;vertical-align:middle}
.checks i{width:4px;height:14px;background:var(--good)}
.checks i.no{background:var(--bad);height:14px}
button,input,select,textarea{font:inherit;color:inherit;background:var(--ground);border:1px solid var(--soft);border-radius:4px;padding:3px 10px}
button{cursor:pointer;background:var(--panel)}
button.small{font-size:13px;padding:1px 8px}
button.primary{background:var(--mark);border-color:var(--mark);color:var(--ground)}
:focus-visible{outline:3px solid var(--mark);outline-offset:2px}
form .row{display:flex;flex-wrap:wrap;gap:10px 16px;margin:6px 0}
form label{display:flex;flex-direction:column;font-size:13px;color:var(--soft)}
form label>input,form label>textarea,form label>select{color:var(--ink);font-size:15px}
textarea{min-height:4.5em;width:min(32em,88vw)}
dialog{color:var(--ink);background:var(--ground);border:1px solid var(--line);border-radius:8px;max-width:min(34em,94vw);padding:16px 20px}
dialog::backdrop{background:#0008}
.answer{background:var(--panel);border-radius:6px;padding:8px 14px;margin:10px 0;white-space:pre-wrap;font:13px/1.6 ui-monospace,monospace;overflow-wrap:anywhere}
.answer:empty{display:none}
footer{margin-top:32px;padding-top:12px;padding-bottom:24px;border-top:1px solid var(--line);color:var(--soft)}
.cards{display:none}
@media (max-width:760px){main,header,footer{padding-left:12px;padding-right:12px}.picture{display:none}.cards{display:block}.figures dd{font-size:18px}}
@media (prefers-reduced-motion:no-preference){.link{transition:stroke-width .4s}}
`;
