"""Detection of English, the only language that findings are extracted from.

Counts function words and radiology terms that are only English, and those that are only of other
languages. Words common to several languages ("normal", "pneumothorax") are ignored.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pairaug.findings.extract import extract
from pairaug.findings.image_words import RADIOGRAPH_NOUN
from pairaug.findings.statement import labels_of

# More words do not improve the detection.
_MAX_WORDS = 120
# More words than this without a known one are another language; fewer may be names or typos.
_MAX_UNKNOWN = 4

# Endings of English words that are rare in other languages.
_ENGLISH_ENDINGS = ("ed", "ly", "ness", "ous", "ity")
_OTHER_ENDINGS = (
    "cion", "ciones", "zione", "zioni", "mente", "idad", "dade", "ungen", "isch", "ische", "ischer",
    "ischen", "sklerose", "vene", "venoso", "venosa", "eux", "euse", "aux",
)  # fmt: skip
_VOWEL = re.compile("[aeiouy]")
_WORD = re.compile(r"[^\W\d_]{2,}")
# Scripts not used for English: Greek, Cyrillic, Hebrew, Arabic, India's and Thailand's, Georgian,
# Hangul, kana, Chinese. Single Greek letters are units and classes.
_OTHER_SCRIPT = re.compile(
    "[\u0370-\u1cff\u1f00-\u1fff\u2c80-\u2dff\u3040-\u30ff\u3131-\ua4cf\ua960-\uabff\uac00-\ud7ff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)

_ENGLISH = f"""
the of and is are was were with without there this that these which has have had been be being
not for from to at by on or but as it its into than however although while may can could should
would seen noted identified demonstrated demonstrates shows show showing appears appear
appearing given evidence suggest suggests suggestive suggesting consistent compatible likely
possible possibly probable probably suspected unchanged stable interval change changes changed
increased decreased improved worsened worsening improvement resolved new old prior previous
previously again both either neither any other others otherwise within under below above between
near along through over left right upper lower mid middle bilateral bilaterally bibasilar
basilar base bases side sided small large mild mildly moderate moderately severe severely marked
markedly slight slightly minimal minimally trace tiny big huge low high limits size sized
borderline enlarged enlargement prominent prominence widened thickened thickening blunted
blunting elevated tortuous calcified degenerative healed healing heart lung lungs chest bones
bony rib ribs spine shoulder clavicle vessels airway airspace airspaces pulmonary cardiac
silhouette mediastinum mediastinal diaphragm hemidiaphragm effusion effusions opacity opacities
opacification atelectasis cardiomegaly infiltrate infiltrates nodule nodules mass masses scar
scarring fracture fractures congestion pneumonia consolidation consolidations edema pleura
disease process abnormality abnormalities abnormal acute chronic focal diffuse patchy hazy clear
normal unremarkable negative positive intact findings finding impression view views
{RADIOGRAPH_NOUN} image exam study frontal lateral portable upright supine inspiration rotated
volumes volume field fields zone zones lobe lobes apex apices apical hilar hila perihilar
markings tube tubes line
lines catheter lead leads wire wires pacemaker device devices port drain clips tip ends
terminates position positioned place placed placement removed removal unit patient post status
surgical surgery sternotomy follow followup recommended clinical correlation correlate history
pain cough shortness breath comparison compared overall grossly visualized structures structure
contour contours aorta aortic thoracic vascular vascularity vasculature interstitial granuloma
granulomas granulomatous hernia hiatal emphysema copd hyperinflated hyperexpanded hyperinflation
flattened free air fluid level sulcus angle angles soft tissue tissues overlying underlying
region regional seem seems looks look gross bone body cancer evaluate evaluation rule out
additional consider recommend versus respiratory failure dyspnea symptoms today year years
"""

# Words of English and other languages: they are not counted.
_SHARED = f"""
no non normal in per pulmonary pulmonal pleural pleura pneumothorax pneumonia consolidation
edema thorax abdomen fracture fractures congestion atelectasis lateral frontal apical apex basal
minimal trace bilateral focal hernia emphysema aorta silhouette mediastinal mediastinum
infiltrate nodule catheter drain lobe post status portable patient image position unit granuloma
as at to on is was be can over had process copd port under place clavicle zone zones volume
volumes possible probable suspect structures structure base bases contour contours change acute
aortic diffuse {RADIOGRAPH_NOUN} cardiomegaly lung angle angles surgical impression interstitial
device chronic stable
"""

_OTHERS = {
    "German": """
    der das und mit ohne kein keine keinen keiner nicht ist sind wird wurde im am zum zur bei
    beim auf aus vom von ein eine einer eines einem einen nach noch sowie oder auch bds
    beidseits rechts links rechte linke rechten linken rechter linker erguss pleuraerguss
    pleuraerguesse lunge lungen herz herzgroesse herzschatten verschattung verschattungen
    unauffaellig regelrecht regelrechte nachweis hinweis keinerlei stauung infiltrat infiltrate
    vergroessert zwerchfell rippen befund beurteilung aufnahme roentgen mediastinale
    normalbefund lungenfeld rundherd rippenfraktur frei freie einliegend lungenparenchym
    herzvergroesserung kardiomegalie pneumonisch pneumonische gering geringe geringer grosser
    grosse kleiner kleine stauungszeichen
    """,
    "Spanish": """
    el los las del una unos unas un con sin se que por para es son esta estan muy aparente leve
    moderado moderada derrame pulmones pulmonares pulmon corazon derecho derecha izquierdo
    izquierda cardiomegalia silueta cardiaca mediastino hallazgos hallazgo significacion
    patologicos patologico patologicas signos signo infiltrados infiltrado condensacion
    consolidacion neumotorax neumonia atelectasia atelectasias fractura fracturas normales
    limites dentro radiografia torax imagen imagenes campos pleurales senos costofrenicos libres
    libre aumento tamano engrosamiento cambios pinzamiento elongacion aortica aortico parenquima
    sonda via tubo ni ambos ambas bilaterales previo previa estudio conservado conservada
    cronicos cronico nodulo nodulos opacidad opacidades marcapasos escoliosis cifosis patron
    intersticial cateter epoc hilios seno costofrenico
    """,
    "Italian": """
    il lo gli della delle dei degli dal dalla nel nella nei nelle con senza non sono di da al
    alla ai che si un una uno polmoni polmonare polmonari polmone cuore versamento versamenti
    pleurico destro destra sinistro sinistra addensamento addensamenti ombra cardiaca ingrandita
    norma limiti reperti reperto lesioni parenchimali pneumotorace polmonite frattura fratture
    ili diaframma segni lieve modesto torace radiografia evidenza atelettasia opacita nodulo
    noduli ingrandito volume atteggiamento focolai aumentato mediastino edema catetere
    """,
    "Portuguese": """
    das dos da nas nos com sem uma um em ao pelo pela nao sao esta derrame pulmao pulmoes
    pulmonar pulmonares coracao direito direita esquerdo esquerda cardiaca dentro limites
    normalidade sinais seios livres achados opacidade opacidades pneumotorax consolidacao
    aumentada aumentado transparencia radiografia torax exame imagem mediastino nodulos nodulo
    fratura fraturas atelectasias discreto discreta volume ausencia preservada preservado
    normais alteracoes
    """,
    "French": """
    le la les du des une un avec sans pas est sont dans sur ou au aux ne que qui pour par ce
    cette il existe poumon poumons coeur epanchement pleurale pleuraux droit droite gauche
    gauches opacite opacites culs libres silhouette cardiaque normale normales normaux taille
    foyer foyers cardiomegalie pneumopathie oedeme fracture cotes thoracique radiographie
    mediastin parenchyme pulmonaire pulmonaires anomalie decelable augmentee discret bilaterale
    bilateraux signes
    """,
    "Dutch": """
    het een geen niet met zonder van en bij naar aan voor de zijn wordt werd ook nog te links
    rechts hart longen longvelden pleuravocht vocht vergroot normaal normale slank aanwijzingen
    infiltraat infiltraten klaplong afwijkingen hartgrootte ribben fractuur beeld opname
    thoraxfoto mediastinum bevindingen conclusie tekenen klein grote stuwing verdichting
    verdichtingen beiderzijds duidelijk duidelijke
    """,
    "Polish": """
    nie jest sa bez oraz w z po lub sie jak pluca pluc plucne plucnych serce serca sylwetka
    oplucnej oplucnowej plyn plynu prawej lewej prawym lewym prawa lewa strony zmian zmiany
    zageszczen ogniskowych cechy cech odma odmy poszerzona poszerzone granicach normy niedodma
    wolne katy przepony zebra zlamania kosci srodpiersie stwierdza widoczny widoczne polach
    miazszowych powiekszona powiekszone wnioski rtg klatki piersiowej
    """,
    "Turkish": """
    ile bir yok yoktur vardir var olarak icin bu da de ya sag sol akciger akcigerler akcigerde
    kalp kalbin plevral efuzyon izlenmedi izlenmektedir izlendi saptanmadi pnomotoraks normaldir
    boyutu boyutlari normalden genis olagan kostofrenik sinusler acik mediasten konsolidasyon
    artmis kardiyomegali gogus buyuk bilateral alt ust bulgu bulgular normal
    """,
    "Scandinavian": """
    och med utan ej inga ingen inget som av ikke uden og det hjerte lunger lungor hjarta hjartat
    lungorna pleuravatska pleuravaeske vatska hoger vanster venstre hojre infiltrater tegn
    forstorrat normalt stort ikkje uten eller hjertet ja ei ole keuhkot sydan oikealla
    vasemmalla pleuranestetta
    """,
    "Romanian, Czech, Hungarian and others": """
    fara cu si este sunt pleurala plamani cord dreapta stanga bez je jsou srdce plice vypotek
    vpravo vlevo nem nincs tudo sziv bal jobb oldali mellkas tidak ada dan jantung paru tim phoi
    khong va
    """,
}


def is_english(text: str) -> bool:
    """True unless `text` has more words of other languages than of English.

    A short text without known words, such as "Pneumothorax.", counts as English.
    """
    if not text.isascii() and _is_in_another_script(text):
        return False
    words = _WORD.findall(text[: 10 * _MAX_WORDS].lower())
    english, others, shared = _words()
    num_english = num_other = num_unknown = 0
    for word in words[:_MAX_WORDS]:
        if word in english:
            num_english += 1
        elif word in others or (not word.isascii() and len(word) > 2):  # not units
            num_other += 1
        elif word in shared:
            continue
        elif word.endswith(_ENGLISH_ENDINGS):
            num_english += 1
        elif word.endswith(_OTHER_ENDINGS):
            num_other += 1
        elif _VOWEL.search(word):
            num_unknown += 1
    if num_english or num_other:
        return num_english >= num_other
    return num_unknown <= _MAX_UNKNOWN


def report_labels(text: str) -> dict[str, bool | None]:
    """Label of each finding in a report; all None if it is not in English."""
    return labels_of(extract(text) if is_english(text) else ())


def _is_in_another_script(text: str) -> bool:
    letters = sum(character.isalpha() for character in text)
    return 2 * len(_OTHER_SCRIPT.findall(text)) > letters


@lru_cache(maxsize=1)
def _words() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Words that are only English, those only of other languages, and the shared ones."""
    shared = frozenset(_SHARED.split())
    english = frozenset(_ENGLISH.split()) - shared
    others = frozenset(" ".join(_OTHERS.values()).split()) - shared - english
    return english, others, shared
