"""Names of report sections in many languages.

A heading is mapped to a common name. Any other heading is a sub-heading of its section ("LUNGS"),
or a section that is not used.
"""

from __future__ import annotations

import re
import unicodedata

from pairaug.findings.image_words import RADIOGRAPH_NOUN

# Common form → other headings for it in MIMIC-CXR, misspellings included.
MIMIC_VARIANTS = {
    "impression": "conclusion, findings and impression, findings/impression, findings/ impression, "
    "impresson, imprression, imoression, impressoin, imprssion, impresion, imperssion, mpression, "
    "impession",
    "findings": "finding, findins, findindgs, findgings, findngs, findnings, finidngs, "
    "reference findings, chest; two views",
    "indication": "reason for examination, reason for exam, clinical indication, idication, "
    "ndication",
    "history": "clinical history, clinical information, patient history, pfi",
    "comparison": "comparisons, reference exam, comparison exam, "
    f"comparison {RADIOGRAPH_NOUN}, comparision, "
    "comparsion, comparrison, comparisions",
    "examination": "exam, type of examination",
    "recommendations": "recommendation(s), recommendation",
    "technique": "",
    "notification": "",
    "addendum": "",
    "date": "",
    "comment": "",
    "wet read": "wetread",
}

# Names of other layouts and languages, without accents. "reading" is a section with the whole
# interpretation: findings if there is no section of that name, else the impression.
_OTHER_VARIANTS = {
    "findings": "observations, observation, radiographic findings, radiological findings, "
    "imaging findings, x-ray findings, xray findings, findings of the chest, chest findings, "
    "description, narrative, discussion, radiographic evaluation, beskrivelse, utlatande, fynd, "
    "funn, lausunto, befund, befunde, bildbefund, hallazgos, hallazgo, descripcion, resultats, "
    "resultat, constatations, reperti, reperto, descrizione, achados, achado, descricao, "
    "bevindingen, bevinding, beschrijving, opis, opis badania, obraz, bulgular, bulgu, описание, "
    "所见, 检查所见, 影像所见, 影像学所见, 影像表现, 影像学表现, 描述, "
    "所見, 画像所見, 検査所見, 소견, 판독소견, 영상소견",
    "impression": "impressions, imp, impression and plan, conclusions, opinion, summary, "
    "assessment, diagnosis, diagnoses, final diagnosis, diagnostic impression, "
    "radiological impression, radiographic impression, final impression, bottom line, "
    "beurteilung, zusammenfassung, diagnose, diagnosen, impresion diagnostica, conclusion, "
    "conclusiones, diagnostico, juicio diagnostico, opinion diagnostica, synthese, au total, "
    "conclusioni, conclusione, diagnosi, giudizio diagnostico, impressao, impressao diagnostica, "
    "conclusao, conclusoes, hipotese diagnostica, konklusion, konklusjon, bedomning, "
    "sammanfattning, yhteenveto, besluit, conclusie, indruk, wnioski, wniosek, "
    "rozpoznanie, sonuc, kanaat, izlenim, заключение, вывод, выводы, "
    "印象, 诊断, 诊断意见, 影像诊断, "
    "诊断印象, 结论, 診断, 診断名, 結論, 결론, 진단",
    "reading": "interpretation, report, body, body of report, report body, radiology report, "
    "chest x-ray report, x-ray report, result, results, reading, radiologist reading, "
    "final report, final read, final reading, "
    "bericht, befundbericht, informe, informe radiologico, resultado, resultados, compte rendu, "
    "compte-rendu, interpretacion, interpretazione, referto, interpretacao, relatorio, laudo, "
    "verslag, wynik, wynik badania, rapor, протокол, 报告, 報告, レポート, 판독, 판독문",
    "indication": "indications, clinical indications, reason, reason for study, "
    "reason for the exam, reason for the examination, reason for request, reason for referral, "
    "clinical question, clinical reason, exam reason, indikation, fragestellung, "
    "rechtfertigende indikation, klinische fragestellung, indicacion, motivo, "
    "motivo de consulta, motivo del estudio, motif, quesito clinico, quesito diagnostico, "
    "indicazione, indicacao, indicatie, vraagstelling, wskazanie, wskazania, endikasyon, "
    "показания, "
    "检查目的, 検査目的, 適応",
    "history": "clinical data, clinical details, clinical background, clinical, hx, "
    "history of present illness, anamnese, klinische angaben, klinik, angaben, vorgeschichte, "
    "datos clinicos, historia clinica, antecedentes, clinica, renseignements cliniques, "
    "histoire clinique, antecedents, notizie cliniche, anamnesi, dati clinici, historico, "
    "dados clinicos, historia, klinische gegevens, dane kliniczne, klinik bilgi, anamnez, "
    "анамнез, клинические данные, 病史, 临床诊断, 临床资料, 臨床情報, 임상정보",
    "comparison": "compared with, compared to, prior, priors, previous, prior studies, "
    "prior exams, "
    "previous studies, comparison studies, vergleich, voraufnahmen, voruntersuchungen, vorbefunde, "
    "comparacion, estudios previos, comparatif, comparaison, confronto, comparacao, vergelijking, "
    "porownanie, karsilastirma, сравнение, 对比, 比較, 비교",
    "examination": "examinations, examination performed, exam type, study, study type, procedure, "
    "procedures, exam description, views, view, projection, projections, untersuchung, estudio, "
    "examen, exploracion, esame, exame, onderzoek, badanie, tetkik, inceleme, исследование, "
    "检查, 检查项目, 検査, 검사",
    "technique": "techniques, method, methods, protocol, technik, untersuchungstechnik, methode, "
    "tecnica, techniek, technika, teknik, методика, 技术, 检查方法, 撮影, 검사방법",
    "recommendations": "recommended, plan, follow-up, follow up, empfehlung, procedere, "
    "recomendacion, recomendaciones, recommandation, recommandations, raccomandazioni, "
    "recomendacoes, advies, zalecenia, oneri, рекомендации, 建议, 推奨",
    "notification": "notifications, communication, critical results, critical result, "
    "critical value, critical findings communication",
    "addendum": "addenda, nachtrag, adenda",
    "signature": "signed, signed by, electronically signed, electronically signed by, dictated, "
    "dictated by, dictation, transcribed by, transcriptionist, attending, radiologist, resident, "
    "reported by, read by, reviewed by, verified by, approved by, interpreting physician, author, "
    "end of report, end of impression, attestation, radiologe, arzt, medico, medecin, arts",
    "patient": "patient name, name, patient id, mrn, id, dob, date of birth, age, sex, gender, "
    "accession, accession number, accession no, ordering physician, referring physician, "
    "requesting physician, ordering provider, referring provider, referrer, requested by, ward, "
    "hospital, department, exam date, study date, date of exam, date of study, "
    "date of service, paciente, nombre, geburtsdatum, datum, fecha",
}

# Headings of parts of a section: organs, devices, "other".
_PARTS = (
    "lung lungs pulmonary parenchyma airspace airspaces airway airways trachea bronchi heart "
    "cardiac cardiovascular cardiomediastinum cardiomediastinal mediastinum mediastinal contour "
    "contours silhouette hilum hila hilar vessels vascular vascularity vasculature aorta pleura "
    "pleurae pleural effusion effusions pneumothorax pneumothoraces diaphragm diaphragms "
    "hemidiaphragm hemidiaphragms bone bones bony osseous skeleton skeletal musculoskeletal msk "
    "ribs spine shoulder shoulders tissue tissues wall thorax neck abdomen line lines tube "
    "tubes device devices catheter catheters drain drains hardware pacemaker other others misc "
    "miscellaneous incidental quality inspiration rotation"
)
_BETWEEN = (
    "the both right left upper lower thoracic and or of field fields volumes size great spaces "
    "space structures soft chest support apparatus image"
)

# A heading that describes the whole examination, such as "PORTABLE AP CHEST": its findings follow.
DESCRIBES_IMAGE = re.compile(
    "chest|portable|pa and lat|lateral and pa|ap and lateral|lateral and ap|frontal and|two views|"
    "frontal view|pa view|ap view|one view|lateral view|bone window|frontal upright|"
    "frontal semi-upright|ribs"
)
_REMARK = re.compile(r"\s*\([^()]*\)$")
# "Findings / impression", "Impression and recommendations": the impression, as MIMIC-CXR has it.
_JOINED = re.compile(
    r"(?:findings?|impressions?|conclusions?|summary|interpretation|befunde?|resultats|hallazgos)"
    r"(?:\s*(?:and|&|/|,|\+|or|und|et|y)\s*(?:findings?|impressions?|conclusions?|"
    r"recommendations?|plan|comments?|diagnosis|interpretation|opinion|beurteilung|conclusion))+"
)


def fold(heading: str) -> str:
    """`heading` in lower case, without accents, with single spaces."""
    apart = unicodedata.normalize("NFD", heading.casefold())
    bare = "".join(c for c in apart if not unicodedata.combining(c))
    return " ".join(unicodedata.normalize("NFC", bare).split())


def known_name(heading: str) -> str | None:
    """Common name of a heading, in any case and any known language; None if unknown."""
    name = fold(heading)
    # "Findings (chest)" are findings.
    for form in (name, _REMARK.sub("", name)):
        if form in KNOWN:
            return KNOWN[form]
    return "impression" if _JOINED.fullmatch(name) else None


def is_sub_heading(heading: str) -> bool:
    """True for headings of a part of a section, such as "LUNGS"."""
    words = set(re.findall(r"\w+", fold(heading)))
    return bool(words & _PART_WORDS) and words <= _PART_WORDS | _BETWEEN_WORDS


MIMIC_KNOWN = {
    variant.replace(";", ","): name
    for name, variants in MIMIC_VARIANTS.items()
    for variant in (name, *filter(None, variants.split(", ")))
}
KNOWN = {
    **{
        fold(variant): name
        for name, variants in _OTHER_VARIANTS.items()
        for variant in (*([] if name == "reading" else [name]), *variants.split(", "))
    },
    **MIMIC_KNOWN,
}
"""Folded heading → common name."""
_PART_WORDS = frozenset(_PARTS.split())
_BETWEEN_WORDS = frozenset(_BETWEEN.split())
