"""How the API page looks: system fonts, light or dark as the reader's system is, usable at 390 px."""

STYLE = """\
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1d22;--soft:#5c6370;--line:#e3e6eb;--card:#f7f8fa;--code:#f1f3f6;
--accent:#0b57c9;--get:#0b6bcb;--post:#1a7f37;--put:#8a5a00;--patch:#8a5a00;--delete:#c0262d}
@media (prefers-color-scheme:dark){:root{--bg:#14161a;--ink:#e6e8ec;--soft:#9aa3b0;--line:#2b3038;--card:#1b1e24;
--code:#22262d;--accent:#7ab2ff;--get:#5aa9f8;--post:#5ac878;--put:#e0b050;--patch:#e0b050;--delete:#ff7b80}}
*{box-sizing:border-box}html{scroll-behavior:smooth;scroll-padding-top:1rem}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
display:grid;grid-template-columns:16rem minmax(0,1fr)}
a{color:var(--accent)}.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:1rem}
nav{position:sticky;top:0;height:100vh;overflow:auto;border-right:1px solid var(--line);padding:1.4rem .8rem;
background:var(--card)}
nav .brand{font-weight:650;font-size:1.1rem;margin:0 .6rem 1rem}nav .brand span{display:block;font-weight:400;font-size:.8rem;
color:var(--soft)}
nav a{display:flex;justify-content:space-between;padding:.34rem .6rem;border-radius:6px;color:inherit;text-decoration:none}
nav a:hover{background:var(--code)}nav a span{color:var(--soft);font-variant-numeric:tabular-nums}
main{padding:2.2rem clamp(1rem,4vw,3.5rem) 6rem;max-width:68rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 .6rem}h2{font-size:1.25rem;margin:2.6rem 0 .8rem}
h4{margin:1.2rem 0 .4rem;font-size:.76rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft)}
.lead{font-size:1.06rem;max-width:46rem}.rules{padding-left:1.1rem;max-width:50rem}.rules li{margin:.25rem 0}
code{font:.9em/1.5 ui-monospace,"SF Mono",Menlo,Consolas,monospace}
p code,li code,td code{background:var(--code);padding:.08em .32em;border-radius:4px}
pre{background:var(--code);border:1px solid var(--line);border-radius:8px;padding:.8rem 1rem;overflow:auto;margin:.4rem 0}
details{border:1px solid var(--line);border-radius:8px;margin:.45rem 0;background:var(--bg)}
details[open]{background:var(--card);box-shadow:0 1px 6px #0001}
summary{display:flex;align-items:center;gap:.8rem;padding:.55rem .8rem;cursor:pointer;list-style:none;flex-wrap:wrap}
summary::-webkit-details-marker{display:none}summary:hover{background:var(--card);border-radius:8px}
summary:focus-visible,a:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:6px}
.m{min-width:4.4rem;text-align:center;font:650 .74rem/1.7 ui-monospace,Menlo,monospace;border-radius:5px;border:1px solid}
.GET{color:var(--get)}.POST{color:var(--post)}.PUT{color:var(--put)}.PATCH{color:var(--patch)}.DELETE{color:var(--delete)}
.path{font-weight:560}.path i{color:var(--soft);font-style:normal;font-weight:400}.what{color:var(--soft);flex:1;min-width:12rem}
.scope{font:.78rem ui-monospace,Menlo,monospace;border:1px solid var(--line);border-radius:99px;padding:.05rem .55rem;
color:var(--soft)}
.body{padding:.2rem 1rem 1rem;border-top:1px solid var(--line)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}td{padding:.34rem .8rem .34rem 0;vertical-align:top;
border-bottom:1px solid var(--line)}tr:last-child td{border-bottom:0}td:nth-child(2){color:var(--soft);max-width:18rem}
td em{font-style:normal;font-size:.72rem;color:var(--delete);margin-left:.45rem}.d1{padding-left:1.3rem}.d2{padding-left:2.6rem}
.default{color:var(--soft);font-size:.86rem;white-space:nowrap}.status{margin:.7rem 0 .1rem;color:var(--soft)}
.errors{display:flex;flex-wrap:wrap;gap:.3rem .9rem;list-style:none;padding:0;margin:0}.errors li{color:var(--soft)}
.errors b{color:var(--ink)}.facts{color:var(--soft);font-size:.86rem;margin:.8rem 0 0}
@media (max-width:56rem){body{display:block}nav{position:static;height:auto;border-right:0;border-bottom:1px solid var(--line);
display:flex;flex-wrap:wrap;gap:.1rem;padding:.8rem}nav .brand{width:100%;margin:.2rem .6rem}nav a{gap:.5rem}
main{padding-top:1.2rem}.what{flex-basis:100%;order:3}.scope{margin-left:auto}}
@media print{nav{display:none}body{display:block}}
"""
