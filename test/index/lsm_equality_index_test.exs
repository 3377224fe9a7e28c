defmodule ShapeRouter.Index.LsmEqualityIndexTest do
  use ExUnit.Case, async: true

  alias ShapeRouter.Index.{EqualityIndex, InclusionIndex, LsmEqualityIndex, Protocol}

  doctest EqualityIndex
  doctest InclusionIndex
  doctest LsmEqualityIndex
  doctest ShapeRouter.Index.Protocol

  setup do
    dir = Path.join(System.tmp_dir!(), "lsm-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm_rf!(dir) end)
    %{dir: dir}
  end

  defp found(index, value), do: Protocol.affected_shapes(index, "v", %{"v" => value}, %{})

  defp filled(index, values),
    do: Enum.reduce(values, index, &Protocol.add_shape(&2, &1, {:id, &1}, nil))

  defp code(fun), do: assert_raise(ShapeRouter.Error, fun).code

  test "a struct that is not the newest is refused" do
    old = LsmEqualityIndex.new(:int4)
    new = Protocol.add_shape(old, 1, :a, nil)
    assert code(fn -> found(old, 1) end) == :stale_index
    assert code(fn -> Protocol.add_shape(old, 2, :b, nil) end) == :stale_index
    assert code(fn -> Protocol.all_shape_ids(old) end) == :stale_index
    assert found(new, 1) == MapSet.new([:a])
    # What changes nothing makes nothing stale.
    assert Protocol.add_shape(new, 1, :a, nil) == new
    assert found(new, 1) == MapSet.new([:a])
  end

  test "a closed index says so" do
    index = LsmEqualityIndex.new(:int4)
    assert LsmEqualityIndex.close(index) == :ok
    assert code(fn -> found(index, 1) end) == :closed
    assert code(fn -> LsmEqualityIndex.close(index) end) == :closed
  end

  test "figures" do
    index = LsmEqualityIndex.new(:int4, num_lanes: 16) |> filled(1..100)
    stats = LsmEqualityIndex.stats(index)
    assert %{num_lanes: 16, total_entries: 100, degraded: false} = stats
    assert stats.total_overlay_entries + stats.total_segment_entries == 100
    assert stats.bytes_per_key > 0
    for key <- [:total_segments, :read_amplification], do: assert(is_integer(stats[key]))
  end

  test "options that cannot be" do
    for opts <- [[num_lanes: 0], [num_lanes: 257], [num_lanes: "8"], [lanes: 8]],
        do: assert(code(fn -> LsmEqualityIndex.new(:int4, opts) end) == :invalid_argument)
  end

  test "a directory keeps what was filed", %{dir: dir} do
    index = LsmEqualityIndex.new(:text, path: dir) |> filled(~w(a b c))
    index = Protocol.remove_shape(index, "b", {:id, "b"}, nil)
    assert code(fn -> LsmEqualityIndex.new(:text, path: dir) end) == :locked
    :ok = LsmEqualityIndex.close(index)
    assert code(fn -> LsmEqualityIndex.new(:int4, path: dir) end) == :invalid_argument
    index = LsmEqualityIndex.new(:text, path: dir)
    assert Protocol.all_shape_ids(index) == MapSet.new([{:id, "a"}, {:id, "c"}])
    assert found(index, "a") == MapSet.new([{:id, "a"}])
    assert found(index, "b") == MapSet.new()
    # Its slot is given again.
    index = Protocol.add_shape(index, "d", :d, nil)
    assert found(index, "d") == MapSet.new([:d])
    :ok = LsmEqualityIndex.close(index)
  end

  test "what a directory cannot keep is refused", %{dir: dir} do
    index = LsmEqualityIndex.new(:int4, path: dir)

    for rest <- [make_ref(), &is_map/1, {:a, [self()]}],
        do: assert(code(fn -> Protocol.add_shape(index, 1, :a, rest) end) == :invalid_argument)

    assert Protocol.empty?(index)
    assert found(Protocol.add_shape(index, 1, :a, "b = 2"), 1) == MapSet.new([:a])
  end

  test "the shapes' file, cut at any byte, is as it was before some last change", %{dir: dir} do
    index = LsmEqualityIndex.new(:int4, path: dir) |> filled(1..3)
    :ok = LsmEqualityIndex.close(Protocol.remove_shape(index, 2, {:id, 2}, nil))
    file = Path.join(dir, "SHAPES")
    whole = File.read!(file)

    states =
      for values <- [[], [1], [1, 2], [1, 2, 3], [1, 3]],
          do: MapSet.new(values, &{:id, &1})

    for bytes <- 1..(byte_size(whole) - 1) do
      File.rm_rf!(Path.join(dir, "index"))
      File.write!(file, binary_part(whole, 0, bytes))

      try do
        index = LsmEqualityIndex.new(:int4, path: dir)
        assert Protocol.all_shape_ids(index) in states
        for v <- 1..3, do: assert(found(index, v) == only(Protocol.all_shape_ids(index), v))
        :ok = LsmEqualityIndex.close(index)
      rescue
        error in ShapeRouter.Error -> assert error.code == :damaged
      end
    end
  end

  defp only(ids, v), do: MapSet.intersection(ids, MapSet.new([{:id, v}]))

  test "a flipped bit is found, or was in what nobody was told of", %{dir: dir} do
    :ok = LsmEqualityIndex.new(:int4, path: dir) |> filled(1..3) |> LsmEqualityIndex.close()
    file = Path.join(dir, "SHAPES")
    whole = File.read!(file)

    for at <- 0..(byte_size(whole) - 1) do
      <<before::binary-size(at), byte, rest::binary>> = whole
      File.rm_rf!(Path.join(dir, "index"))
      File.write!(file, <<before::binary, Bitwise.bxor(byte, 4), rest::binary>>)

      try do
        index = LsmEqualityIndex.new(:int4, path: dir)
        # Only the last frame may be missing, as after a crash that tore it.
        assert MapSet.subset?(MapSet.new([{:id, 1}, {:id, 2}]), Protocol.all_shape_ids(index))
        :ok = LsmEqualityIndex.close(index)
      rescue
        error in ShapeRouter.Error -> assert error.code in [:damaged, :unknown_version]
      end
    end
  end

  test "a lost or damaged index is made anew from the shapes", %{dir: dir} do
    :ok = LsmEqualityIndex.new(:int4, path: dir) |> filled(1..2000) |> LsmEqualityIndex.close()
    [segment | _] = Path.wildcard(Path.join(dir, "index/*.seg*"))
    <<head::binary-size(200), _byte, rest::binary>> = File.read!(segment)
    File.write!(segment, [head, 255, rest])
    index = LsmEqualityIndex.new(:int4, path: dir)
    assert LsmEqualityIndex.stats(index).degraded == false
    for v <- [1, 1000, 2000], do: assert(found(index, v) == MapSet.new([{:id, v}]))
    assert found(index, 2001) == MapSet.new()
    # And goes on.
    index = Protocol.add_shape(index, 2001, :new, nil)
    :ok = LsmEqualityIndex.close(index)
    File.rm_rf!(Path.join(dir, "index"))
    index = LsmEqualityIndex.new(:int4, path: dir)
    assert found(index, 2001) == MapSet.new([:new])
    :ok = LsmEqualityIndex.close(index)
  end

  test "a file of many shapes that went is written anew", %{dir: dir} do
    index = LsmEqualityIndex.new(:int4, path: dir) |> filled(1..50)
    before = File.stat!(Path.join(dir, "SHAPES")).size
    # As if there had been so many.
    index = Protocol.remove_shape(%{index | frames: 20_000}, 1, {:id, 1}, nil)
    assert File.stat!(Path.join(dir, "SHAPES")).size < before
    index = Protocol.add_shape(index, 51, :new, nil)
    :ok = LsmEqualityIndex.close(index)

    for lost? <- [false, true] do
      if lost?, do: File.rm_rf!(Path.join(dir, "index"))
      index = LsmEqualityIndex.new(:int4, path: dir)
      assert MapSet.size(Protocol.all_shape_ids(index)) == 50
      for v <- 2..50, do: assert(found(index, v) == MapSet.new([{:id, v}]))
      assert found(index, 1) == MapSet.new()
      assert found(index, 51) == MapSet.new([:new])
      :ok = LsmEqualityIndex.close(index)
    end
  end

  test "many shapes under one value" do
    index = LsmEqualityIndex.new(:int4)
    index = Enum.reduce(1..10_000, index, &Protocol.add_shape(&2, 7, &1, nil))
    assert MapSet.size(found(index, 7)) == 10_000
    index = Protocol.add_shape(index, 7, 5000, nil)
    index = Protocol.remove_shape(index, 7, 5000, nil)
    refute MapSet.member?(found(index, 7), 5000)
    index = Protocol.remove_shape(index, 7, 5000, nil)
    index = Protocol.add_shape(index, 7, 5000, nil)
    assert MapSet.size(found(index, 7)) == 10_000
    index = Enum.reduce(1..10_000, index, &Protocol.remove_shape(&2, 7, &1, nil))
    assert Protocol.empty?(index)
  end
end
