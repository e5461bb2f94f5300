"""Finding by name: `python -m benchmarks.names [--engine E] [--rows N] [--chinese]`.

Imports so many products with Chinese names, then asks for pages of 100 by texts of one to eight
characters: common, middling, rare and absent ones, and those whose every two characters are common
while the whole is rare, which is the worst case of an index over pairs. Prints the median and the
99th percentile in milliseconds, twice: right after the import, and once more.

Servers are found at the addresses in `CONSIGNMENT_TEST_POSTGRESQL` and `CONSIGNMENT_TEST_MARIADB`.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import tempfile
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from attrs import frozen
from sqlalchemy import NullPool, create_engine, make_url, text

from benchmarks import bank
from consignment.adapters.memory import ManualClock, MemoryLedger, MemoryMessaging
from consignment.adapters.sqlalchemy import SqlStorage, upgrade
from consignment.desk import Consignment
from consignment.domain.text import name_key
from consignment.ports.name_forms import AsWritten
from consignment.testing.builders import a_partner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from consignment.ports.name_forms import NameForms

ENGINES = ("sqlite", "postgresql", "mariadb")
#: Milliseconds at the 99th percentile.
AIMS = {"sqlite": 10.0, "postgresql": 10.0, "mariadb": 30.0}
CLASSES = ("common", "middling", "rare", "absent", "pairs common")
LENGTHS = range(1, 9)

_ADDRESSES = {
    "postgresql": "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "mariadb": "mariadb+pymysql://root@127.0.0.1:3306/",
}
_EACH = 60

_REGIONS = """
    阿克苏 库尔勒 和田 吐鲁番 喀什 伊犁 烟台 栖霞 洛川 静宁 赣南 秭归 攀枝花 蒙自 宾川 奉节 黄岩
    涪陵 大连 丹东 五常 盘锦 庆安 呼伦贝尔 锡林郭勒 中宁 玉树 那曲 林芝 普洱 西双版纳 勐海 安溪
    武夷山 福鼎 信阳 黄山 六安 洞庭 祁门 都匀 凤庆 潮州 新会 化州 增城 茂名 湛江 三亚 文昌 嘉兴
    阳澄湖 舟山 即墨 寿光 章丘 莱阳 沧州 赵县 砀山 灵宝 大荔 眉县 清徐 应县 若羌 且末 哈密 石河子
"""
_BRANDS = """
    果然鲜 天山红 绿野 金果源 山里人 福临门 十月稻田 柴火大院 百草味 好想你 楼兰蜜语 西域美农
    农夫 大红袍 八马 竹叶青 DOLE ZESPRI Sunkist Joyvio 佳沃 褚橙 本来 京觅 蒙牛 O'Brien A+级 M&G
"""
_GRADES = """
    特级 一级 精选 甄选 有机 绿色 大果 中果 小果 单果80mm 新鲜 当季 老树 高山 野生 手工
"""
_GOODS = """
    红富士 冰糖心 嘎啦 国光 黄元帅 蛇果 香梨 雪梨 酥梨 贡梨 脐橙 血橙 砂糖橘 蜜橘 沃柑 蜜柚 大枣
    灰枣 冬枣 薄皮核桃 巴旦木 开心果 葡萄干 黑加仑 无核白 阳光玫瑰 巨峰 哈密瓜 西瓜 猕猴桃 奇异果
    樱桃 车厘子 蓝莓 草莓 水蜜桃 黄桃 蟠桃 西梅 吊干杏 石榴 芒果 榴莲 荔枝 龙眼 火龙果 百香果 菠萝
    大米 长粒香米 小米 糯米 燕麦 面粉 挂面 菜籽油 花生油 枸杞 黑枸杞 藏红花 雪菊 玫瑰花 绿茶 红茶
    普洱茶 乌龙茶 铁观音 龙井 碧螺春 毛尖 牛肉干 羔羊排 三文鱼 小龙虾 大闸蟹 海参 蜂蜜 奶粉 奶酪
"""
_KINDS = "苹果 水果 鲜果 干果 坚果 果干 特产 礼盒"
_SIZES = """
    500g 250g 1kg 2.5kg 5kg 10kg 10斤 5斤 礼盒装 家庭装 罐装 袋装 整箱 12枚 500ml 50g*10袋
"""
_ENDS = "新货 2026新果 顺丰包邮 冷链 产地直发 大 红 甜"
_MAKERS = 20_000


def names(count: int) -> list[str]:
    """Give names of 4 to 16 characters, of words that are the rarer the later they are listed.

    Some characters are in a third of the names, and thousands in a few: those of small makers.
    """
    draw = random.Random(1)

    def drawn(listed: str, before: Sequence[str] = ("",)) -> list[str]:
        words = [f"{each}{word}" for word in listed.split() for each in before]
        weights = [1 / (i + 1) ** 0.8 for i in range(len(words))]
        return draw.choices(words, weights, k=count)

    makers = [
        "".join(chr(draw.randrange(0x4E00, 0x9FA5)) for _ in range(draw.choice((2, 2, 3))))
        for _ in range(_MAKERS)
    ]
    columns = [
        (0.60, drawn(_REGIONS)),
        (0.35, drawn(_BRANDS)),
        (0.30, [makers[int(draw.random() ** 2 * _MAKERS)] for _ in range(count)]),
        (0.35, drawn(_GRADES)),
        (1.00, drawn(_GOODS)),
        (0.35, drawn(_KINDS)),
        (0.60, drawn(_SIZES, ("", " "))),
        (0.12, drawn(_ENDS)),
    ]
    made = []
    for i in range(count):
        name = "".join(words[i] for share, words in columns if draw.random() < share)
        made.append((name if len(name) >= 4 else columns[0][1][i] + name)[:16].strip())
    return made


@frozen
class Text:
    """A text to look up, and how many names have it."""

    kind: str
    text: str
    hits: int


def texts(keys: Sequence[str]) -> list[Text]:
    """Draw texts of each class and length, and count the names that have them."""
    draw = random.Random(7)
    found: list[Text] = []
    follow: dict[str, list[str]] = defaultdict(list)
    for length in LENGTHS:
        counts: Counter[str] = Counter()
        for key in keys:
            counts.update({key[i : i + length] for i in range(len(key) - length + 1)})
        possible = {each: hits for each, hits in counts.items() if each == each.strip()}
        few, some = max(2, len(keys) // 50_000), max(5, len(keys) // 5_000)
        if length == 2:
            for pair, hits in possible.items():
                if hits >= len(keys) // 100:
                    follow[pair[0]].append(pair[1])

        def drawn(kind: str, choice: Iterable[str], counts: Mapping[str, int] = counts) -> None:
            wanted = sorted(set(choice))
            draw.shuffle(wanted)
            found.extend(Text(kind, each, counts.get(each, 0)) for each in wanted[:_EACH])

        drawn("common", [each for each, _ in Counter(possible).most_common(2 * _EACH)])
        drawn("middling", [each for each, hits in possible.items() if some <= hits <= 100 * some])
        drawn("rare", [each for each, hits in possible.items() if hits <= few])
        made = (
            "".join(draw.choice(draw.choice(keys)) for _ in range(length)) for _ in range(9_999)
        )
        strange = (chr(0x3400 + draw.randrange(6_000)) for _ in range(9_999))
        absent = strange if length == 1 else made
        drawn("absent", [e for e in absent if e not in counts and e == e.strip()])
        if length > 2:
            chained = (_chain(draw, follow, length) for _ in range(99_999))
            drawn("pairs common", [e for e in chained if e and counts.get(e, 0) <= few])
    draw.shuffle(found)
    return found


def _chain(draw: random.Random, follow: Mapping[str, Sequence[str]], length: int) -> str:
    made = draw.choice(sorted(follow))
    while len(made) < length and made[-1] in follow:
        made += draw.choice(follow[made[-1]])
    return made if len(made) == length and made == made.strip() else ""


@contextmanager
def database(engine: str) -> Iterator[str]:
    """Make a database with the schema, and drop it afterwards."""
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="consignment-bench-") as folder:
            url = f"sqlite:///{Path(folder) / 'names.db'}"
            upgrade(url)
            yield url
        return
    given = os.environ.get(f"CONSIGNMENT_TEST_{engine.upper()}") or _ADDRESSES[engine]
    address = make_url(given).set(drivername=_ADDRESSES[engine].partition(":")[0])
    admin = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    name = f"consignment_bench_names_{os.getpid()}"
    options = "ENCODING 'UTF8' TEMPLATE template0" if engine == "postgresql" else ""
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} {options}"))
    try:
        url = address.set(drivername=engine, database=name).render_as_string(hide_password=False)
        upgrade(url)
        yield url
    finally:
        force = "WITH (FORCE)" if engine == "postgresql" else ""
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} {force}"))


def opened(url: str, forms: NameForms) -> Consignment:
    """Open a desk with an admitted partner; the clock stands still."""
    desk = Consignment(
        storage=SqlStorage.open(url, names=forms),
        messaging=MemoryMessaging(),
        crediting=MemoryLedger(),
        clock=ManualClock(bank.START),
    )
    desk.storage.write(lambda t: t.partners.add(a_partner(bank.PARTNER)))
    return desk


def rows(made: Sequence[str]) -> Iterator[dict[str, str]]:
    """Give product rows with these names."""
    for i, name in enumerate(made):
        yield {
            "number": f"SKU-{i:07d}",
            "name": name,
            "unit": "BX",
            "currency": "CNY",
            "agreed_price": "12.50",
        }


def milliseconds(desk: Consignment, asked: Sequence[Text]) -> dict[str, list[float]]:
    """Look every text up, check how many are found, and give the times by class, sorted."""
    taken: dict[str, list[float]] = defaultdict(list)
    # The collector leaves the benchmark's own texts alone.
    gc.collect()
    gc.freeze()
    for each in asked:
        begun = perf_counter()
        page = desk.progress.by_name(each.text, limit=100)
        taken[each.kind].append((perf_counter() - begun) * 1e3)
        assert len(page.products) == min(100, each.hits), each
    return {kind: sorted(taken[kind]) for kind in CLASSES if kind in taken}


def percentile(ordered: Sequence[float], share: float) -> float:
    """Give the value that such a share of the values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def run(engine: str, count: int, forms: NameForms) -> bool:
    """Measure one engine, print what was seen, and tell whether the aim was reached."""
    made = names(count)
    asked = texts([name_key(name) for name in made])
    with database(engine) as url:
        with opened(url, forms) as desk:
            begun = perf_counter()
            result = desk.catalogue.import_products(bank.PARTNER, rows(made))
            took = perf_counter() - begun
            assert result.created == count, list(result.rejections)[:3]
        print(
            f"{engine}: {count:,} products imported in {took:,.0f} s, {count / took:,.0f} a second"
        )
        reached = True
        for when in ("as it is", "again"):
            with Consignment(
                storage=SqlStorage.open(url, names=forms),
                messaging=MemoryMessaging(),
                crediting=MemoryLedger(),
            ) as desk:
                taken = milliseconds(desk, asked)
            taken["all"] = sorted(each for every in taken.values() for each in every)
            for kind, ordered in taken.items():
                p50, p99 = percentile(ordered, 0.5), percentile(ordered, 0.99)
                reached = reached and p99 <= AIMS[engine]
                print(
                    f"  {when:<9} {kind:<13} {len(ordered):>5} texts  p50 {p50:6.2f} ms  "
                    f"p99 {p99:6.2f} ms  most {ordered[-1]:6.2f} ms",
                    flush=True,
                )
    verdict = "reached" if reached else "ABOVE THE AIM"
    print(f"  aim: p99 at most {AIMS[engine]:.0f} ms  {verdict}")
    return reached


def main() -> None:
    """Measure the engine that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.names", description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--chinese", action="store_true", help="with the extra's other forms")
    options = parser.parse_args()
    forms: NameForms = AsWritten()
    if options.chinese:
        from consignment.adapters.chinese import ChineseNames  # noqa: PLC0415 - an extra

        forms = ChineseNames()
    run(options.engine, options.rows, forms)


if __name__ == "__main__":
    main()
