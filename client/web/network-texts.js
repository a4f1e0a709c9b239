// Every sentence of the overview, in German and English. What is amiss comes from the node by kind, with its English words:
// a kind that is not known here is told in those.

/** Ids of the authorities that something is the matter with, by reason. */
function hindered(finality) {
  const found = new Map();
  for (const { authority_id: id, reason } of finality.hindrances) found.set(reason, [...(found.get(reason) ?? []), id]);
  return found;
}

/** Names that are listed one by one; of more only the number. */
const LISTED_MAX = 8;

function list(ids, { name, number }, words) {
  const shown = ids.slice(0, LISTED_MAX).map(name).join(", ");
  return ids.length > LISTED_MAX ? `${shown} ${words.more(number(ids.length - LISTED_MAX))}` : shown;
}

/** Nothing becomes final, or would: whom that waits for, and what helps. */
function paused(view, words) {
  const { finality, n, quorum, span, number } = view;
  const since = finality.state === "paused" ? words.since(span(finality.waiting_ms)) : null;
  const why = [...hindered(finality)].map(([reason, ids]) => `${words.reasons[reason] ?? reason}: ${list(ids, view, words)}`);
  const detail = why.length > 0 ? words.detail(why.join("; ")) : null;
  const what = [since, words.counted(finality.taking_part, n, quorum), detail].filter(Boolean).join(" ");
  const { needed_more: needed, would_help: helpers } = finality;
  if (needed === 0) return { what, so: words.unclear };
  const all = list(helpers, view, words);
  const who = needed === helpers.length ? all : `${needed === 1 ? words.oneOf : words.someOf(number(needed))} ${all}`;
  return { what, so: words.back(who, needed) };
}

/** Some do not take part, and finality goes on. */
function reduced(view, words) {
  const { finality, quorum, number } = view;
  const found = hindered(finality);
  const parts = ["missing", "not_voting"].filter((reason) => found.has(reason));
  const what = parts.map((reason) => `${words.parts[reason]}: ${list(found.get(reason), view, words)}.`).join(" ");
  return { what, so: words.spare(finality.taking_part - quorum, number) };
}

const SAID = {
  de: {
    since: (span) => `Seit ${span} ist nichts endgültig geworden.`,
    counted: (here, n, quorum) => `${here} von ${n} Behörden nehmen teil, ${quorum} werden gebraucht.`,
    detail: (why) => `Im Einzelnen – ${why}.`,
    reasons: {
      missing: "nicht erreichbar",
      not_voting: "stimmt nicht ab",
      skewed: "Uhr geht falsch",
      lagging: "im Rückstand",
      other_view: "in einer anderen Runde",
      voted_otherwise: "stimmte anders",
      no_vote: "Stimme fehlt",
    },
    parts: { missing: "Nicht erreichbar", not_voting: "Erreichbar, stimmt aber nicht ab" },
    more: (count) => `und ${count} weitere`,
    oneOf: "eine von",
    someOf: (count) => `${count} von`,
    unclear: "Genug könnten abstimmen; warum sie sich nicht einigen, weiß dieser Knoten nicht. Hält es an, vergleichen Sie, was die Protokolle der Behörden zu diesen Runden sagen.",
    back: (who, needed) => `Es geht von selbst weiter, sobald ${who} wieder ${needed === 1 ? "teilnimmt" : "teilnehmen"}. Sehen Sie dort nach: Läuft der Knoten, ist er im Netz, geht seine Uhr richtig?`,
    spare: (count, number) => {
      const left = count > 1 ? `${number(count)} weitere dürfen ausfallen.` : count === 1 ? "Eine weitere darf ausfallen." : "Fällt noch eine aus, wird nichts mehr endgültig.";
      return `Das Register arbeitet weiter. ${left} Sehen Sie dort nach: Läuft der Knoten, ist er im Netz?`;
    },
  },
  en: {
    since: (span) => `Nothing has become final for ${span}.`,
    counted: (here, n, quorum) => `${here} of ${n} authorities take part, ${quorum} are needed.`,
    detail: (why) => `In detail – ${why}.`,
    reasons: {
      missing: "unreachable",
      not_voting: "not voting",
      skewed: "clock off",
      lagging: "lagging",
      other_view: "in another view",
      voted_otherwise: "voted otherwise",
      no_vote: "vote lacking",
    },
    parts: { missing: "Unreachable", not_voting: "Reachable, but not voting" },
    more: (count) => `and ${count} more`,
    oneOf: "one of",
    someOf: (count) => `${count} of`,
    unclear: "Enough could vote; this node does not know why they do not agree. If it lasts, compare what the logs of the authorities say of these views.",
    back: (who, needed) => `It goes on by itself as soon as ${who} ${needed === 1 ? "takes" : "take"} part again. Look there: does the node run, can it be reached, is its clock right?`,
    spare: (count, number) => {
      const left = count > 0 ? `${count === 1 ? "One more" : `${number(count)} more`} may fail.` : "If one more fails, nothing becomes final any more.";
      return `The ledger goes on working. ${left} Look there: does the node run, can it be reached?`;
    },
  },
};

const de = {
  skip: "Zum Inhalt springen",
  languages: "Sprache",
  pageTitle: "Netz – Markstein",
  title: "Das Netz dieses Registers",
  loading: "Der Stand wird geladen …",
  retry: "Jetzt noch einmal fragen",
  lost: {
    silent: (since) => `Dieser Knoten antwortet nicht, seit ${since}.`,
    busy: (since) => `Dieser Knoten hat zu viel zu tun, um zu antworten, seit ${since}.`,
    failed: (since) => `Dieser Knoten kann den Stand nicht nennen, seit ${since}. Sein Protokoll sagt mehr.`,
    off: () => "Diese Übersicht ist auf diesem Knoten abgeschaltet.",
    strange: () => "Dieser Knoten hat etwas geantwortet, das diese Seite nicht versteht. Laden Sie die Seite neu.",
  },
  again: (span) => `Der nächste Versuch folgt in ${span}.`,
  old: (time) => `Was unten steht, ist der Stand von ${time}.`,
  answer: {
    good: "Das Register arbeitet",
    warn: "Das Register arbeitet, aber nicht alles ist in Ordnung",
    bad: "Zurzeit wird nichts endgültig",
    open: "Der heutige Stand ist nicht bekannt",
  },
  meaning: {
    good: ({ here, n, quorum }) => `${here} von ${n} Behörden stimmen ab; ${quorum} ${quorum === 1 ? "wird" : "werden"} gebraucht.`,
    warn: ({ here, n, quorum }) => `${here} von ${n} Behörden stimmen ab; ${quorum} ${quorum === 1 ? "wird" : "werden"} gebraucht.`,
    bad: () => "Was angenommen ist, wartet und geht nicht verloren. Lesen und Prüfen geht weiter.",
    open: () => "Solange der Knoten nicht antwortet, sagt diese Seite nichts darüber, was jetzt ist.",
  },
  ownWords: "Im Wortlaut des Knotens, auf Englisch",
  figures: {
    height: "Neuester endgültiger Block",
    size: "Größe des Protokolls",
    hour: "Einträge in der letzten Stunde",
    mean: "Zeit bis endgültig, im Mittel",
    asOf: "Neuester Prüfpunkt, Stand",
    pool: "Stapel, die warten",
  },
  none: "–",
  authorities: "Behörden",
  authority: "Behörde",
  state: "Zustand",
  height: "Block",
  lag: "Blöcke zurück",
  clock: "Uhr",
  heard: "Zuletzt gehört",
  version: "Version",
  here: "dieser Knoten",
  other: "andere als hier",
  states: {
    voting: "stimmt ab",
    missing: "nicht erreichbar",
    unheard: "noch nicht gehört",
    not_voting: "stimmt nicht ab",
    skewed: "Uhr geht falsch",
    lagging: "im Rückstand",
  },
  authoritiesHint: "So sieht dieser Knoten die anderen. Uhr: ihre gegen die dieses Knotens; der Weg der Nachricht ist darin enthalten.",
  ago: (span) => `vor ${span}`,
  now: "jetzt",
  never: "nie",
  hour: "Die letzte Stunde",
  counted: (time) => `Gezählt seit ${time}, als dieser Knoten gestartet wurde.`,
  recordsChart: "Einträge je Minute",
  finalityChart: "Zeit bis endgültig, Mittel und längste je Minute",
  finalityHint: "Zeit bis endgültig: von der Zeit im Kopf des Blocks, nach der Uhr der Behörde, die ihn vorschlug, bis er auf diesem Knoten endgültig war, nach dessen Uhr. Wie lange ein Stapel vor seinem Block wartete, ist nicht enthalten; gehen die Uhren auseinander, ist die Zahl um so viel falsch. Nicht gemessen sind Blöcke von vor dem Start und solche, die dieser Knoten nachgeholt hat.",
  recordsWords: ({ total, most, now }) => `Zusammen ${total}; höchstens ${most} in einer Minute; in dieser Minute bisher ${now}.`,
  finalityWords: ({ mean, most }) => `Im Mittel ${mean}, längstens ${most}.`,
  nothingYet: "Noch wurde nichts endgültig.",
  axis: (minutes) => [`vor ${minutes} min`, `vor ${minutes / 2} min`, "jetzt"],
  asTable: "Dieselben Zahlen als Tabelle",
  minute: "Minute",
  recordsCount: "Einträge",
  blocksCount: "Blöcke",
  tookMean: "Mittel",
  tookMax: "Längste",
  blocks: "Die letzten Blöcke",
  block: "Block",
  time: "Zeit",
  issuers: "Eingetragen von",
  moreIssuers: "und anderen",
  noIssuer: "–",
  took: "Endgültig nach",
  unmeasured: "nicht gemessen",
  records: "Die letzten öffentlichen Einträge",
  recordsHint: "Nur was eine Stelle öffentlich hinterlegt hat. Alles andere steht im Protokoll als gesalzener Fingerabdruck und ist hier nur mitgezählt.",
  noRecords: "In den letzten Blöcken steht kein öffentlicher Eintrag.",
  record: "Eintrag",
  issuer: "Ausgestellt von",
  type: "Art",
  peers: "Verbindungen",
  peersHint: "Nur auf dem Anschluss der Betreiber: wer eingelassen ist, von wo, und was hin- und herging, seit dieser Knoten gestartet wurde.",
  peer: "Knoten",
  address: "Adresse",
  connected: "Verbunden",
  notConnected: "nein",
  since: (span) => `seit ${span}`,
  received: "Empfangen",
  sent: "Gesendet",
  misbehaviours: "Auffälliges",
  nodeIs: ({ node, role, version, origin, ledger }) => `Knoten ${node} (${role === "observer" ? "Beobachter" : "Behörde"}), Version ${version}. Register ${origin}, Kennung ${ledger}.`,
  renewal: "Erneuert sich von selbst, solange die Seite zu sehen ist. Keine Cookies, keine Inhalte von Dritten.",
  citizens: "Ein Dokument prüfen",
  conditions: {
    paused: (facts, view) => paused(view, SAID.de),
    reduced: (facts, view) => reduced(view, SAID.de),
    lagging: (ids, view) => ({ what: `Im Rückstand: ${list(ids, view, SAID.de)}.`, so: "Fehlende Blöcke werden von selbst nachgeholt. Wird der Rückstand nicht kleiner, sehen Sie dort nach Platte und Leitung." }),
    unheard: (ids, view) => ({ what: `Verbunden, aber noch nicht gehört: ${list(ids, view, SAID.de)}.`, so: "Das klärt sich in wenigen Sekunden." }),
    catch_up: ({ to }, { number }) => ({ what: `Dieser Knoten ist im Rückstand und holt Blöcke von anderen, bis Block ${number(to)}.`, so: "Das geht von selbst zu Ende." }),
    journal_lost: () => ({ what: "Dieser Knoten stimmt nicht mehr ab: Sein Journal ging verloren, als seine Daten beschädigt wurden. Er folgt als Beobachter.", so: "Der Weg zurück: neue Schlüssel mit „markstein-node keys new“, die die anderen Behörden an die Stelle der alten setzen." }),
    journal_forgot: () => ({ what: "Dieser Knoten stimmt nicht mehr ab: Sein Schlüssel hat eine Stimme abgegeben, die sein Journal nicht kennt. Seine Daten gingen verloren oder sind eine ältere Kopie, oder ein zweiter Knoten läuft mit denselben Schlüsseln.", so: "Der Weg zurück: neue Schlüssel mit „markstein-node keys new“, die die anderen Behörden an die Stelle der alten setzen." }),
    not_voting_yet: () => ({ what: "Dieser Knoten folgt und stimmt noch nicht ab.", so: "Nach einem Start fragt er erst die anderen, was er vorher gesagt hat; nach einer Reparatur kommt er erst wieder dahin, wo er war. Das geht von selbst zu Ende." }),
    own_clock: ({ ms, heard }, { span }) => ({ what: `Die Uhr dieses Knotens geht um ${span(Math.abs(ms))} ${ms > 0 ? "vor" : "nach"}, gegen die meisten von ${heard} anderen.`, so: "Stellen Sie sie richtig (NTP)." }),
    clock: ({ authority_id: id, ms, more }, { name, span, number }) => ({ what: `Die Uhr von ${name(id)} geht gegen die dieses Knotens um ${span(Math.abs(ms))} ${ms > 0 ? "vor" : "nach"}${more > 0 ? `, und ${number(more)} weitere gehen falsch` : ""}.`, so: "Eine von beiden muss richtig gestellt werden (NTP)." }),
    contradiction: ({ authority_id: id, view: round }, { name, number }) => ({ what: `${name(id)} hat sich in Runde ${number(round)} widersprochen: zwei Stimmen, von denen kein ehrlicher Knoten beide abgibt.`, so: "Dieser Knoten bewahrt sie als Beweis. Sagen Sie es den anderen Betreibern." }),
    no_checkpoint: () => ({ what: "Noch hat kein Block die Unterschriften einer Mehrheit.", so: "Nachweise warten darauf." }),
    clock_behind: ({ ms }, { span }) => ({ what: `Der neueste Prüfpunkt ist der Uhr dieses Knotens um ${span(ms)} voraus.`, so: "Stellen Sie die Uhr richtig (NTP); vorher wird kein Block gemacht." }),
  },
};

const en = {
  skip: "Skip to the content",
  languages: "Language",
  pageTitle: "Network – Markstein",
  title: "The network of this ledger",
  loading: "Loading …",
  retry: "Ask again now",
  lost: {
    silent: (since) => `This node has not answered since ${since}.`,
    busy: (since) => `This node has had too much to do to answer since ${since}.`,
    failed: (since) => `This node has not been able to say how it is since ${since}. Its log says more.`,
    off: () => "This overview is switched off on this node.",
    strange: () => "This node answered something that this page does not understand. Load the page again.",
  },
  again: (span) => `The next attempt follows in ${span}.`,
  old: (time) => `What you see below is as of ${time}.`,
  answer: {
    good: "The ledger is working",
    warn: "The ledger is working, but not all is well",
    bad: "Nothing becomes final now",
    open: "How it is now is not known",
  },
  meaning: {
    good: ({ here, n, quorum }) => `${here} of ${n} authorities vote; ${quorum} ${quorum === 1 ? "is" : "are"} needed.`,
    warn: ({ here, n, quorum }) => `${here} of ${n} authorities vote; ${quorum} ${quorum === 1 ? "is" : "are"} needed.`,
    bad: () => "What is accepted waits and is not lost. Reading and checking go on.",
    open: () => "As long as the node does not answer, this page says nothing about what is now.",
  },
  ownWords: "In the words of the node",
  figures: {
    height: "Newest final block",
    size: "Size of the log",
    hour: "Records in the last hour",
    mean: "Time to finality, mean",
    asOf: "Newest checkpoint, as of",
    pool: "Batches that wait",
  },
  none: "–",
  authorities: "Authorities",
  authority: "Authority",
  state: "State",
  height: "Block",
  lag: "Blocks behind",
  clock: "Clock",
  heard: "Heard last",
  version: "Version",
  here: "this node",
  other: "another than here",
  states: {
    voting: "voting",
    missing: "unreachable",
    unheard: "not heard yet",
    not_voting: "not voting",
    skewed: "clock off",
    lagging: "lagging",
  },
  authoritiesHint: "This is how this node sees the others. Clock: theirs against this node's, with the way of the message in it.",
  ago: (span) => `${span} ago`,
  now: "now",
  never: "never",
  hour: "The last hour",
  counted: (time) => `Counted since ${time}, when this node was started.`,
  recordsChart: "Records per minute",
  finalityChart: "Time to finality, mean and longest per minute",
  finalityHint: "Time to finality: from the time in the header of a block, by the clock of the authority that proposed it, until the block was final on this node, by this node's clock. How long a batch waited for its block is not in it; where the clocks differ the number is wrong by as much. Blocks from before the start, and those that this node fetched later, are not measured.",
  recordsWords: ({ total, most, now }) => `${total} in all; ${most} at most in one minute; ${now} in this minute so far.`,
  finalityWords: ({ mean, most }) => `${mean} on average, ${most} at the longest.`,
  nothingYet: "Nothing has become final yet.",
  axis: (minutes) => [`${minutes} min ago`, `${minutes / 2} min ago`, "now"],
  asTable: "The same numbers as a table",
  minute: "Minute",
  recordsCount: "Records",
  blocksCount: "Blocks",
  tookMean: "Mean",
  tookMax: "Longest",
  blocks: "The newest blocks",
  block: "Block",
  time: "Time",
  issuers: "Written by",
  moreIssuers: "and others",
  noIssuer: "–",
  took: "Final after",
  unmeasured: "not measured",
  records: "The newest public records",
  recordsHint: "Only what an issuer anchored publicly. All else stands in the log as a salted hash and is only counted here.",
  noRecords: "There is no public record in the newest blocks.",
  record: "Record",
  issuer: "Issued by",
  type: "Type",
  peers: "Connections",
  peersHint: "On the operators' listener only: who is let in, from where, and what went to and fro since this node was started.",
  peer: "Node",
  address: "Address",
  connected: "Connected",
  notConnected: "no",
  since: (span) => `for ${span}`,
  received: "Received",
  sent: "Sent",
  misbehaviours: "Misbehaviour",
  nodeIs: ({ node, role, version, origin, ledger }) => `Node ${node} (${role}), version ${version}. Ledger ${origin}, id ${ledger}.`,
  renewal: "Renews itself as long as the page can be seen. No cookies, nothing from third parties.",
  citizens: "Check a document",
  conditions: {
    paused: (facts, view) => paused(view, SAID.en),
    reduced: (facts, view) => reduced(view, SAID.en),
    lagging: (ids, view) => ({ what: `Lagging: ${list(ids, view, SAID.en)}.`, so: "Missing blocks are fetched by themselves. If it does not get less, look at its disk and its link." }),
    unheard: (ids, view) => ({ what: `Connected, but not heard yet: ${list(ids, view, SAID.en)}.`, so: "This settles within seconds." }),
    catch_up: ({ to }, { number }) => ({ what: `This node is behind and gets blocks from others, up to block ${number(to)}.`, so: "This ends by itself." }),
    journal_lost: () => ({ what: "This node does not vote any more: its journal was lost when its data was damaged. It follows as an observer does.", so: "The way back: new keys with “markstein-node keys new”, which the other authorities put in place of these." }),
    journal_forgot: () => ({ what: "This node does not vote any more: its key signed a vote that its journal does not know. Its data was lost or is an older copy, or a second node runs with the same keys.", so: "The way back: new keys with “markstein-node keys new”, which the other authorities put in place of these." }),
    not_voting_yet: () => ({ what: "This node follows and does not vote yet.", so: "After a start it first asks the others what it said before; after a repair it first gets back to where it was. This ends by itself." }),
    own_clock: ({ ms, heard }, { span }) => ({ what: `This node's clock is ${span(Math.abs(ms))} ${ms > 0 ? "ahead of" : "behind"} those of most of ${heard} others.`, so: "Set it right (NTP)." }),
    clock: ({ authority_id: id, ms, more }, { name, span, number }) => ({ what: `The clock of ${name(id)} is ${span(Math.abs(ms))} ${ms > 0 ? "ahead of" : "behind"} this node's${more > 0 ? `, and ${number(more)} more are off` : ""}.`, so: "One of them must be set right (NTP)." }),
    contradiction: ({ authority_id: id, view: round }, { name, number }) => ({ what: `${name(id)} contradicted itself in view ${number(round)}: two votes of which no honest node signs both.`, so: "This node keeps them as evidence. Tell the other operators." }),
    no_checkpoint: () => ({ what: "No block is cosigned by a quorum yet.", so: "Receipts wait for it." }),
    clock_behind: ({ ms }, { span }) => ({ what: `The newest checkpoint is ${span(ms)} ahead of this node's clock.`, so: "Set the clock right (NTP); no block is made before." }),
  },
};

export const TEXTS = { de, en };
