"""Files that are wrong, hostile or ask for what is lacking: a clear error, and nothing outside the folder is read."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import c_library
import numpy as np
import pytest

import worldline as wl

BODY = '<body><joint/><geom size="0.1"/></body>'


def written(folder, text, name="model.xml"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def model(inside="", world=BODY):
    return f"<mujoco>{inside}<worldbody>{world}</worldbody></mujoco>"


def mesh(path):
    """A tetrahedron in a binary STL file."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
    data = bytes(80) + struct.pack("<I", 4)
    for face in faces:
        data += struct.pack("<12fH", 0, 0, 0, *corners[list(face)].ravel(), 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


MESH = "<asset><mesh {}/></asset>"
MESH_BODY = '<body><joint/><geom type="mesh" mesh="part" contype="0" conaffinity="0"/></body>'


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        wl.rigid.load(tmp_path / "model.xml")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        wl.rigid.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not well-formed XML"),
        ("<mujoco><worldbody></mujoco>", "not well-formed XML: mismatched tag, line 1"),
        ("<model/>", "outermost element is <model>"),
        (model(world=""), "no joint"),
        (model(world="<body><joint/></body>"), "moves but has no mass"),
        (model(world=BODY.replace("0.1", "nan")), "."),
        (model(world=BODY.replace('size="0.1"', 'size="big"')), "no model that MuJoCo can compile"),
        (model("<tendon><nonsense/></tendon>"), "nonsense"),
        ('<!DOCTYPE m [<!ENTITY a "aaaa">]>' + model(), "document type, entities"),
        ("<mujoco>" + "<frame>" * 200 + "</frame>" * 200 + "</mujoco>", "more than 100 levels"),
        (model(world=f'<replicate count="90000">{BODY}</replicate>'), "replicates elements more than"),
        (model(world=f'<replicate count="300"><replicate count="300">{BODY}</replicate></replicate>'), "replicates"),
        (model('<asset><hfield name="h" nrow="100000" ncol="100000" size="1 1 1 1"/></asset>'), "more than .* cells"),
        (model('<size nuser_body="100000000"/>'), "user numbers"),
        (model('<asset><model name="m" file="other.xml"/></asset>'), "uses <model>"),
        ("\xff\xfe", "not well-formed XML"),
    ],
)
def test_what_is_no_model_or_too_large_is_refused(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        wl.rigid.load(written(tmp_path, text))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "model.xml"
    path.write_bytes(b"\xff\xfe<\x00m\x00")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        wl.rigid.load(path)


def test_files_of_the_folder_are_included_and_meshes_found(tmp_path):
    mesh(tmp_path / "robot" / "parts" / "part.stl")
    written(tmp_path / "robot", "<mujocoinclude>" + MESH_BODY + "</mujocoinclude>", "sub/body.xml")
    for inside in (
        '<compiler meshdir="parts"/>' + MESH.format('file="part.stl"'),
        '<compiler assetdir="./parts/../parts"/>' + MESH.format('name="part" file="part.stl"'),
        MESH.format('file="parts/part.stl"'),
    ):
        path = written(tmp_path / "robot", model(inside, '<include file="sub/body.xml"/>'))
        found = wl.rigid.load(path)
        assert float(found.parameters["body1.mass"]) == pytest.approx(1000 / 6)


OUTSIDE = ("../part.stl", "sub/../../part.stl", "link.stl", "ABSOLUTE")


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("way", ["mesh", "meshdir", "assetdir", "include", "urdf"])
def test_files_outside_the_folder_are_not_read(name, way, tmp_path):
    mesh(tmp_path / "part.stl")
    folder = tmp_path / "robot"
    folder.mkdir()
    (folder / "link.stl").symlink_to(tmp_path / "part.stl")
    (folder / "sub").mkdir()
    given = str(tmp_path / "part.stl") if name == "ABSOLUTE" else name
    where, file = os.path.split(given)
    if way == "include":
        text = model(f'<include file="{given}"/>')
    elif way == "urdf":
        text = (
            '<robot name="r"><mujoco><compiler strippath="false"/></mujoco><link name="a"><collision><geometry>'
            f'<mesh filename="{given}"/></geometry></collision></link></robot>'
        )
    elif way == "mesh":
        text = model(MESH.format(f'name="part" file="{given}"'), MESH_BODY)
    else:
        text = model(f'<compiler {way}="{where}"/>' + MESH.format(f'name="part" file="{file}"'), MESH_BODY)
    path = written(folder, text)
    with pytest.raises(ValueError, match="lies outside the model's folder"):
        wl.rigid.load(path)
    if way == "mesh":
        assert wl.rigid.load(path, folder=tmp_path).nv == 1


def test_a_missing_mesh_is_not_found_and_circles_of_includes_end(tmp_path):
    with pytest.raises(FileNotFoundError, match="names the file 'part.stl', but there is no"):
        wl.rigid.load(written(tmp_path, model(MESH.format('file="part.stl"'), MESH_BODY)))
    written(tmp_path, '<mujoco><include file="model.xml"/></mujoco>', "other.xml")
    with pytest.raises(ValueError, match="twice or in a circle"):
        wl.rigid.load(written(tmp_path, model('<include file="other.xml"/>')))


def test_the_same_model_comes_out_as_from_the_c_library_alone():
    import mujoco

    for name in ("mixed", "driven", "touching"):
        theirs = mujoco.MjModel.from_xml_path(str(c_library.path(name)))
        ours = wl.rigid.load(c_library.path(name))
        masses = [float(ours.parameters[f"{body}.mass"]) for body in ours.tree.bodies]
        np.testing.assert_array_equal(masses, theirs.body_mass[1:])


URDF = """<robot name="arm">
  <link name="base"/>
  <link name="upper"><inertial><origin xyz="0 0 0.2"/><mass value="2"/>
    <inertia ixx="0.1" iyy="0.1" izz="0.02" ixy="0" ixz="0" iyz="0"/></inertial>
    <visual><geometry><mesh filename="package://arm/meshes/seen.dae"/></geometry></visual></link>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="2" effort="10" velocity="1"/><dynamics damping="0.3" friction="0.1"/></joint>
</robot>"""


def test_urdf_files_are_read(tmp_path):
    found = wl.rigid.load(written(tmp_path, URDF, "arm.urdf"))
    assert found.parameters["upper.mass"] == 2 and found.parameters["shoulder.damping"] == 0.3
    np.testing.assert_allclose(found.parameters["shoulder.limit.range"], [-1, 2])
    assert float(found.parameters["shoulder.dry_friction.loss"]) == 0.1


LACKING = {
    "equalities other than of joints": model(
        "<equality><weld body1='b'/></equality>", BODY.replace("<body", "<body name='b'")
    ),
    "spatial tendons": model(
        '<tendon><spatial><site site="s"/><site site="t"/></spatial></tendon>',
        '<site name="s"/>' + BODY.replace("<joint/>", '<joint/><site name="t"/>'),
    ),
    "gravity compensation": model(world=BODY.replace("<body", '<body gravcomp="1"')),
    "elliptic cones": model(
        '<option cone="elliptic"/>', '<geom type="plane" size="1 1 1"/>' + BODY.replace("<joint/>", "<freejoint/>")
    ),
    "gains": model(
        '<actuator><muscle joint="j" lengthrange="0 1"/></actuator>', BODY.replace("<joint", '<joint name="j"')
    ),
    "transmissions": model(
        '<actuator><motor site="t"/></actuator>', BODY.replace("<joint/>", '<joint/><site name="t"/>')
    ),
    "mocap bodies": model(world=BODY + '<body mocap="true"/>'),
    "contacts of such shapes": model(
        '<contact><pair geom1="g" geom2="h"/></contact>',
        "".join(f'<geom name="{name}" type="plane" size="1 1 1"/>' for name in "gh") + BODY,
    ),
    "switched-off passive forces": model('<option><flag spring="disable"/></option>'),
    "nonlinear springs": model(world=BODY.replace("<joint", '<joint stiffness="1 2 3"')),
}


@pytest.mark.parametrize("word", LACKING)
def test_what_is_lacking_is_named_and_can_be_left_out(word, tmp_path):
    path = written(tmp_path, LACKING[word])
    with pytest.raises(
        wl.rigid.UnsupportedFeature, match=word if word != "contacts of such shapes" else "plane with plane"
    ) as raised:
        wl.rigid.load(path)
    leave = eval(str(raised.value).partition("without=")[2].rstrip(".)") + ")")
    assert word in leave
    wl.rigid.load(path, without=leave)


def test_words_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="names 'rockets', which nothing that is lacking is called"):
        wl.rigid.load(c_library.path("chain"), without=("rockets",))
    with pytest.raises(ValueError, match="is one string"):
        wl.rigid.load(c_library.path("chain"), without="gains")


def test_nothing_is_written_to_the_current_folder(tmp_path):
    path = written(tmp_path, model('<compiler settotalmass="3"/>'))
    script = f"import worldline as wl; wl.rigid.load({str(path)!r})"
    inside = tmp_path / "elsewhere"
    inside.mkdir()
    subprocess.run([sys.executable, "-c", script], cwd=inside, check=True)
    assert list(inside.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_load_or_are_refused(seed, tmp_path):
    """A process that hangs, dies or raises anything else fails; it writes each file before it tries it."""
    script = Path(__file__).parent / "mutated_models.py"
    run = subprocess.run(
        [sys.executable, str(script), str(seed), "800", str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    loaded, refused = map(int, run.stdout.split()[-2:])
    assert loaded + refused == 800 and min(loaded, refused) > 40
