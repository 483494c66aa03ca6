"""Who works here. A demonstration has no passwords: anybody may act as anybody."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PEOPLE", "Person", "approver_of", "approvers", "claimants", "person"]


@dataclass(frozen=True)
class Person:
    id: str
    name: str
    team: str
    approves: bool = False

    @property
    def address(self) -> str:
        return f"{self.id}@example.com"


PEOPLE = {
    each.id: each
    for each in (
        Person("ana.kovac", "Ana Kovač", "Engineering"),
        Person("ben.okafor", "Ben Okafor", "Engineering"),
        Person("chloe.martin", "Chloé Martin", "Engineering"),
        Person("david.nguyen", "David Nguyen", "Engineering"),
        Person("elif.demir", "Elif Demir", "Sales"),
        Person("finn.obrien", "Finn O\N{RIGHT SINGLE QUOTATION MARK}Brien", "Sales"),
        Person("grace.lindholm", "Grace Lindholm", "Sales"),
        Person("hiro.tanaka", "Hiro Tanaka", "Sales"),
        Person("ines.ferreira", "Inês Ferreira", "Operations"),
        Person("jakub.nowak", "Jakub Nowak", "Operations"),
        Person("keira.walsh", "Keira Walsh", "Operations"),
        Person("luca.bianchi", "Luca Bianchi", "Operations"),
        Person("mara.lindqvist", "Mara Lindqvist", "Engineering", approves=True),
        Person("noah.weber", "Noah Weber", "Sales", approves=True),
        Person("priya.raman", "Priya Raman", "Operations", approves=True),
        Person("rosa.almeida", "Rosa Almeida", "Finance", approves=True),
    )
}


def person(person_id: str) -> Person:
    """The one with this id; KeyError."""
    return PEOPLE[person_id]


def approver_of(person_id: str) -> Person:
    """The approver of their team. Nobody approves their own claims; Finance does."""
    claimant = PEOPLE[person_id]
    if not claimant.approves:
        for each in PEOPLE.values():
            if each.approves and each.team == claimant.team:
                return each
    return PEOPLE["rosa.almeida" if person_id != "rosa.almeida" else "priya.raman"]


def claimants() -> list[Person]:
    return [each for each in PEOPLE.values() if not each.approves]


def approvers() -> list[Person]:
    return [each for each in PEOPLE.values() if each.approves]
