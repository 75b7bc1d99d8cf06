"""Every sentence that a shopper sees, in each language.

Short, polite, and about what to do next. What is wrong with somebody's account is nobody else's business in a queue: LIMIT and
BLOCKED say that it can't be done by palm, not why. A test proves that no sentence is missing in any language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from terminal.checkout import Outcome, Screen
from terminal.display.view import View

Language = Literal["en", "de", "fr", "it"]
LANGUAGES: tuple[Language, ...] = ("en", "de", "fr", "it")

NAME_LENGTH_MAX = 24
"""Letters of a name that are shown; a longer one would push the thanks off a small screen."""


class Sentence(NamedTuple):
    """What is read from two metres (title), and one line below it (detail, may be empty)."""

    title: str
    detail: str = ""


Said = Mapping[Language, Sentence]


def _said(en: tuple[str, str], de: tuple[str, str], fr: tuple[str, str], it: tuple[str, str]) -> Said:
    return {"en": Sentence(*en), "de": Sentence(*de), "fr": Sentence(*fr), "it": Sentence(*it)}


_ELSE_EN, _ELSE_DE = "Please pay another way", "Bitte bezahlen Sie auf andere Weise"
_ELSE_FR, _ELSE_IT = "Veuillez payer autrement", "La preghiamo di pagare in altro modo"
_MOMENT = ("One moment, please", "Einen Moment, bitte", "Un instant, s’il vous plaît", "Un momento, per favore")

SCREENS: Mapping[Screen, Said] = {
    Screen.WELCOME: _said(
        ("Welcome", "Here you can pay with your palm"),
        ("Willkommen", "Hier bezahlen Sie mit der Handfläche"),
        ("Bienvenue", "Ici, vous pouvez payer avec votre paume"),
        ("Benvenuti", "Qui può pagare con il palmo della mano"),
    ),
    Screen.PRESENT_PALM: _said(
        ("Hold your palm over the ring", "About 10 cm above it, fingers a little apart"),
        ("Halten Sie die Handfläche über den Ring", "Etwa 10 cm darüber, Finger leicht gespreizt"),
        ("Placez votre paume au-dessus de l’anneau", "À environ 10 cm, les doigts un peu écartés"),
        ("Tenga il palmo sopra l’anello", "A circa 10 cm, con le dita un po’ aperte"),
    ),
    Screen.LOOKING: _said(
        ("Good, keep it there", "This takes only a moment"),
        ("Gut so, bitte halten", "Es dauert nur einen Moment"),
        ("Parfait, ne bougez plus", "Cela ne prend qu’un instant"),
        ("Perfetto, rimanga così", "Ci vuole solo un momento"),
    ),
    Screen.ASKING: _said(
        (_MOMENT[0], "You can take your hand away"),
        (_MOMENT[1], "Sie können die Hand wegnehmen"),
        (_MOMENT[2], "Vous pouvez retirer votre main"),
        (_MOMENT[3], "Può togliere la mano"),
    ),
    Screen.PAID: _said(("Paid", "Thank you"), ("Bezahlt", "Vielen Dank"), ("Payé", "Merci beaucoup"), ("Pagato", "Grazie mille")),
    Screen.REFUNDED: _said(
        ("Refunded", "The money is on its way back to you"),
        ("Erstattet", "Das Geld ist auf dem Weg zurück zu Ihnen"),
        ("Remboursé", "La somme vous est restituée"),
        ("Rimborsato", "L’importo Le verrà restituito"),
    ),
    Screen.RESERVED: _said(
        ("You can start now", "You pay only for what you use"),
        ("Sie können beginnen", "Sie zahlen nur, was Sie verbrauchen"),
        ("Vous pouvez commencer", "Vous ne payez que ce que vous utilisez"),
        ("Può iniziare", "Pagherà solo ciò che consuma"),
    ),
    Screen.DECLINED: _said(  # only where no outcome was given
        (_ELSE_EN, "Nothing was charged"),
        (_ELSE_DE, "Es wurde nichts abgebucht"),
        (_ELSE_FR, "Rien n’a été débité"),
        (_ELSE_IT, "Non è stato effettuato alcun addebito"),
    ),
    Screen.CANCELLED: _said(
        ("Cancelled", "Nothing was charged"),
        ("Abgebrochen", "Es wurde nichts abgebucht"),
        ("Annulé", "Rien n’a été débité"),
        ("Annullato", "Non è stato effettuato alcun addebito"),
    ),
    Screen.STARTING: _said(
        (_MOMENT[0], "This reader is starting"),
        (_MOMENT[1], "Das Lesegerät startet"),
        (_MOMENT[2], "Le lecteur démarre"),
        (_MOMENT[3], "Il lettore si sta avviando"),
    ),
    Screen.OUT_OF_ORDER: _said(
        (_ELSE_EN, "This reader is out of order"),
        (_ELSE_DE, "Dieses Lesegerät ist außer Betrieb"),
        (_ELSE_FR, "Ce lecteur est hors service"),
        (_ELSE_IT, "Questo lettore è fuori servizio"),
    ),
    Screen.SETTLING: _said(
        (_MOMENT[0], "An earlier payment is being completed"),
        (_MOMENT[1], "Eine frühere Zahlung wird abgeschlossen"),
        (_MOMENT[2], "Un paiement précédent est en cours de clôture"),
        (_MOMENT[3], "È in corso la chiusura di un pagamento precedente"),
    ),
    Screen.ENROL: _said(
        ("Hold your palm over the ring", "So that we know your hand next time"),
        ("Halten Sie die Handfläche über den Ring", "Damit wir Ihre Hand beim nächsten Mal erkennen"),
        ("Placez votre paume au-dessus de l’anneau", "Pour reconnaître votre main la prochaine fois"),
        ("Tenga il palmo sopra l’anello", "Così la prossima volta riconosceremo la Sua mano"),
    ),
    Screen.ENROLLED: _said(
        ("All done", "From now on you can pay with this palm"),
        ("Fertig", "Ab jetzt können Sie mit dieser Hand bezahlen"),
        ("C’est fait", "Vous pouvez désormais payer avec cette main"),
        ("Fatto", "Da ora può pagare con questa mano"),
    ),
}

OUTCOMES: Mapping[Outcome, Said] = {
    Outcome.APPROVED: SCREENS[Screen.PAID],
    Outcome.ABORTED: SCREENS[Screen.CANCELLED],
    Outcome.TIMED_OUT: _said(
        ("Your palm was not read in time", f"Nothing was charged. {_ELSE_EN}, or try again"),
        ("Die Hand wurde nicht rechtzeitig erkannt", "Es wurde nichts abgebucht. Bitte neu versuchen oder anders bezahlen"),
        ("La paume n’a pas été lue à temps", "Rien n’a été débité. Veuillez réessayer ou payer autrement"),
        ("Il palmo non è stato letto in tempo", "Nessun addebito. Riprovi o paghi in altro modo"),
    ),
    Outcome.NOBODY: _said(
        ("We don’t know this palm", f"{_ELSE_EN}. Nothing about your hand was kept"),
        ("Diese Hand kennen wir nicht", "Bitte anders bezahlen. Von Ihrer Hand wurde nichts gespeichert"),
        ("Nous ne connaissons pas cette main", "Veuillez payer autrement. Rien n’a été conservé de votre main"),
        ("Non conosciamo questa mano", "Paghi in altro modo. Della Sua mano non è stato conservato nulla"),
    ),
    Outcome.LIMIT: _said(
        ("This amount can’t be paid by palm", _ELSE_EN),
        ("Dieser Betrag geht nicht per Hand", _ELSE_DE),
        ("Ce montant ne peut pas être payé ainsi", _ELSE_FR),
        ("Questo importo non si può pagare così", _ELSE_IT),
    ),
    Outcome.BLOCKED: _said(
        ("Not possible by palm today", _ELSE_EN),
        ("Heute leider nicht per Hand möglich", _ELSE_DE),
        ("Pas possible avec la paume aujourd’hui", _ELSE_FR),
        ("Oggi non è possibile con il palmo", _ELSE_IT),
    ),
    Outcome.NO_SERVICE: _said(
        (_ELSE_EN, "Paying by palm has no connection right now"),
        (_ELSE_DE, "Das Bezahlen per Hand hat gerade keine Verbindung"),
        (_ELSE_FR, "Le paiement par la paume est momentanément hors ligne"),
        (_ELSE_IT, "Il pagamento con il palmo è al momento senza connessione"),
    ),
    Outcome.OWED: _said(
        (_ELSE_EN, "An earlier payment must be completed first"),
        (_ELSE_DE, "Zuerst muss eine frühere Zahlung abgeschlossen werden"),
        (_ELSE_FR, "Un paiement précédent doit d’abord être clôturé"),
        (_ELSE_IT, "Prima va completato un pagamento precedente"),
    ),
    Outcome.BUSY: _said(
        (_MOMENT[0], "A payment is already under way"),
        (_MOMENT[1], "Es läuft bereits eine Zahlung"),
        (_MOMENT[2], "Un paiement est déjà en cours"),
        (_MOMENT[3], "È già in corso un pagamento"),
    ),
    Outcome.BAD_AMOUNT: _said(
        ("This amount can’t be paid here", _ELSE_EN),
        ("Dieser Betrag ist hier nicht möglich", _ELSE_DE),
        ("Ce montant ne peut pas être payé ici", _ELSE_FR),
        ("Questo importo non si può pagare qui", _ELSE_IT),
    ),
    Outcome.BAD_CURRENCY: _said(
        ("This currency can’t be paid here", _ELSE_EN),
        ("Diese Währung ist hier nicht möglich", _ELSE_DE),
        ("Cette devise n’est pas acceptée ici", _ELSE_FR),
        ("Questa valuta non è accettata qui", _ELSE_IT),
    ),
    Outcome.READER_FAULT: _said(
        (_ELSE_EN, "The reader can’t see at the moment"),
        (_ELSE_DE, "Das Lesegerät sieht gerade nichts"),
        (_ELSE_FR, "Le lecteur ne fonctionne pas pour le moment"),
        (_ELSE_IT, "Il lettore al momento non funziona"),
    ),
    Outcome.NOT_FOUND: _said(
        ("No such receipt", "Please ask at the till"),
        ("Diesen Beleg gibt es nicht", "Bitte fragen Sie an der Kasse"),
        ("Ce ticket est introuvable", "Veuillez vous adresser à la caisse"),
        ("Scontrino non trovato", "Chieda alla cassa, per favore"),
    ),
    Outcome.ALREADY_REVERSED: _said(
        ("Already given back", "This payment was undone before"),
        ("Bereits zurückgegeben", "Diese Zahlung wurde schon storniert"),
        ("Déjà remboursé", "Ce paiement a déjà été annulé"),
        ("Già restituito", "Questo pagamento è già stato annullato"),
    ),
    Outcome.NOT_SUPPORTED: _said(
        ("This can’t be done here", "Please ask at the till"),
        ("Das ist hier nicht möglich", "Bitte fragen Sie an der Kasse"),
        ("Ce n’est pas possible ici", "Veuillez vous adresser à la caisse"),
        ("Qui non è possibile", "Chieda alla cassa, per favore"),
    ),
    Outcome.FAULT: _said(
        (_ELSE_EN, "Something went wrong here. Nothing was charged"),
        (_ELSE_DE, "Hier ging etwas schief. Es wurde nichts abgebucht"),
        (_ELSE_FR, "Une erreur s’est produite. Rien n’a été débité"),
        (_ELSE_IT, "Si è verificato un errore. Nessun addebito"),
    ),
}


def _title(en: str, de: str, fr: str, it: str) -> Said:
    return _said((en, ""), (de, ""), (fr, ""), (it, ""))


GUIDANCE: Mapping[str, Said] = {  # keys are the values of terminal.palm.types.Guidance; a test compares
    "show_hand": SCREENS[Screen.PRESENT_PALM],
    "palm_up": _title(
        "Turn your palm to the ring", "Bitte die Handfläche zum Ring drehen", "Tournez la paume vers l’anneau",
        "Giri il palmo verso l’anello",
    ),
    "one_hand": _title(
        "One hand only, please", "Bitte nur eine Hand", "Une seule main, s’il vous plaît", "Una sola mano, per favore"
    ),
    "open_hand": _title(
        "Open your hand, please", "Bitte die Hand öffnen", "Ouvrez la main, s’il vous plaît", "Apra la mano, per favore"
    ),
    "higher": _title("A little higher", "Etwas höher", "Un peu plus haut", "Un po’ più in alto"),
    "lower": _title("A little lower", "Etwas tiefer", "Un peu plus bas", "Un po’ più in basso"),
    "centre": _title(
        "Over the middle of the ring", "Bitte über die Mitte des Rings", "Bien au centre de l’anneau", "Al centro dell’anello"
    ),
    "flatter": _title(
        "Hold your hand level", "Die Hand bitte waagerecht halten", "Gardez la main bien à plat", "Tenga la mano orizzontale"
    ),
    "hold_still": _title(
        "Hold still for a moment", "Bitte kurz stillhalten", "Ne bougez plus un instant", "Tenga ferma la mano un momento"
    ),
    "daylight": _said(
        ("Too much sun", "Please shade the ring a little"),
        ("Zu viel Sonne", "Bitte den Ring etwas abschatten"),
        ("Trop de soleil", "Faites un peu d’ombre sur l’anneau"),
        ("Troppo sole", "Faccia un po’ d’ombra sull’anello"),
    ),
    "good": SCREENS[Screen.LOOKING],
}  # fmt: skip

PROMISE: Mapping[Language, str] = {
    "en": "No picture of your hand is kept",
    "de": "Es wird kein Bild Ihrer Hand gespeichert",
    "fr": "Aucune image de votre main n’est conservée",
    "it": "Nessuna immagine della mano viene conservata",
}
"""Below everything else: what people ask first about such a device."""

THANKED = frozenset({Screen.PAID, Screen.REFUNDED, Screen.RESERVED, Screen.ENROLLED})
"""Screens that may greet a person by name; on all others a name is never shown."""

GUIDED = frozenset({Screen.PRESENT_PALM, Screen.LOOKING, Screen.ENROL})
"""Screens on which guidance replaces the title."""


def printable(name: str) -> str:
    """The name as it may be shown: one line, no control characters, at most NAME_LENGTH_MAX letters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return clean if len(clean) <= NAME_LENGTH_MAX else clean[: NAME_LENGTH_MAX - 1].rstrip() + "…"


def sentence(view: View, language: Language) -> Sentence:
    """What the shopper reads for this view in this language. A guidance that is not known is as if there were none."""
    guidance = view.guidance or ""
    if view.screen in GUIDED and guidance in GUIDANCE and not (view.screen is Screen.ENROL and guidance == "show_hand"):
        return GUIDANCE[guidance][language]
    if view.screen is Screen.DECLINED and view.outcome is not None and view.outcome is not Outcome.APPROVED:
        return OUTCOMES[view.outcome][language]
    said = SCREENS[view.screen][language]
    name = printable(view.name) if view.screen in THANKED else ""
    if not name:
        return said
    thanks = SCREENS[Screen.PAID][language].detail if language in ("en", "de") else {"fr": "Merci", "it": "Grazie"}[language]
    return Sentence(said.title, f"{thanks}, {name}" if view.screen is Screen.PAID else f"{name}: {said.detail}")
