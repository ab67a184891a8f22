"""What happens to a registry between power cuts: each story needs some of its syncs."""

from adapterhub_lite_registry import FileEntry, Manifest, Registry, codec
from tests.stress.life import KEEP, Life, path_of, sha256_of


def live_a_little(life: Life) -> None:
    """Publish, move, remove, collect, mend: with power cuts and kills all the time."""
    life.begin()
    first = life.publish("support", b"first")
    life.move(first)
    life.score(life.publish("other", b"first"))
    second = life.publish("support", b"second")
    life.move(second)
    life.roll_back()
    life.configure(10**8)
    life.configure(10**9)
    life.move(second)
    life.move(second)
    if life.remove(first):
        life.gc(KEEP)
        life.reappear(first)
    third = life.publish("support", b"third")
    life.drop_alias()
    life.remove(second)
    life.gc(0)
    life.publish("support", b"second")  # the bytes of a version that was removed
    life.move(third)
    blob = path_of(life.disk.home, "blobs", sha256_of(b"third"))
    life.rot_and_repair(blob, mended=True)
    life.rot_and_repair(next(life.disk.home.glob("manifests/sha256/??/*")), mended=True)
    life.rot_and_repair(blob, mended=False)


def lose_a_file(life: Life) -> None:
    """Repair what is missing and nobody has: there is only the mark."""
    life.begin()
    life.publish("support", b"first")
    blob = path_of(life.disk.home, "blobs", sha256_of(b"first"))
    life.rot_and_repair(blob, mended=False, gone=True)


def damage_a_manifest(life: Life) -> None:
    """Its bytes are put away, and do not come back as if nobody had found out."""
    life.begin()
    life.publish("support", b"first")
    life.rot_and_repair(next(life.disk.home.glob("manifests/sha256/??/*")), mended=False)


def take_over(life: Life) -> None:
    """A version comes from elsewhere: first its file, then its manifest and reference."""
    life.begin()
    entry, data = from_elsewhere()

    def work(registry: Registry) -> None:
        registry.exchange.write(entry.sha256, entry.size, [b"far"])
        life.kept.add(entry.sha256)
        life.acknowledged()
        adopted(life, registry, data)

    life.do(work)
    life.acknowledged()


def take_over_after_a_killed_write(life: Life) -> None:
    """The file of a version from elsewhere is there already, but was never synced."""
    life.begin()
    entry, data = from_elsewhere()

    def write(registry: Registry) -> None:
        registry.exchange.write(entry.sha256, entry.size, [b"far"])

    life.do(write, kill_at="Exchange.write blobs/*/*")
    if not path_of(life.disk.home, "blobs", entry.sha256).exists():
        return
    life.do(lambda registry: adopted(life, registry, data))
    life.acknowledged()


def import_a_folder(life: Life) -> None:
    """The files of a folder become a version, with an alias."""
    life.begin()
    folder = life.scratch / "folder"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer" / "vocab.json").write_bytes(b"{}")
    life.take_folder(folder)


def give_over(life: Life) -> None:
    """What an import wrote and hashed is linked into the store as it is."""
    life.begin()
    life.give_over(b"weights")
    life.give_over(b"weights")


def vouch(life: Life) -> None:
    """Two sign a version, one after the other."""
    life.begin()
    ref = life.publish("support", b"first")
    life.sign(str(ref), "ada")
    life.sign(str(ref), "ben")


def need_it_again(life: Life) -> None:
    """What lies in quarantine is given back to a version that needs it after all."""
    life.begin()
    ref = life.publish("support", b"first")
    life.remove(ref)
    life.gc(KEEP)
    life.reappear(ref)


def from_elsewhere() -> tuple[FileEntry, bytes]:
    """Return the file of a version that was made elsewhere, and its manifest's bytes."""
    entry = FileEntry(path="a", sha256=sha256_of(b"far"), size=3, media_type="a/b", role="data")
    manifest = Manifest(
        kind="adapter", name="support", files=(entry,), created_at="2026-01-01T00:00:00.000000Z"
    )
    return entry, codec.encode(manifest)


def adopted(life: Life, registry: Registry, data: bytes) -> None:
    """Make a manifest whose files are there a version."""
    registry.exchange.write_manifest(data)
    registry.exchange.adopt(data, 5)
    life.live["support@5"] = codec.digest_of(data)


def collect_after_a_killed_removal(life: Life) -> None:
    """The collector sees a tombstone that was never synced."""
    life.begin()
    ref = life.publish("support", b"first")
    life.leaving.add(str(ref))
    life.do(lambda registry: registry.remove(str(ref)), kill_at="Remover.remove refs/*/v")
    life.gc(0)


def remove_after_a_killed_alias_removal(life: Life) -> None:
    """The remover does not see an alias whose removal was never synced."""
    life.begin()
    ref = life.publish("support", b"first")
    life.move(ref)
    life.alias = {None, 1}
    site = "AliasStore._make_durable refs/*/alias"
    life.do(lambda registry: registry.remove_alias("support", "prod"), kill_at=site)
    life.remove(ref)


def move_after_a_killed_move(life: Life) -> None:
    """The alias is where it is to go, but was never synced."""
    life.begin()
    first, second = life.publish("support", b"first"), life.publish("support", b"second")
    life.move(first)
    life.alias = {1, 2}
    site = "AliasStore._make_durable refs/*/alias"
    life.do(lambda registry: registry.set_alias("support", "prod", 2), kill_at=site)
    life.move(second)


STORIES = (
    lose_a_file,
    damage_a_manifest,
    take_over,
    take_over_after_a_killed_write,
    import_a_folder,
    give_over,
    vouch,
    need_it_again,
    collect_after_a_killed_removal,
    remove_after_a_killed_alias_removal,
    move_after_a_killed_move,
    live_a_little,
)
