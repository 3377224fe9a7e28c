defmodule ShapeRouter.ShapeLogTest do
  use ExUnit.Case, async: true

  alias ShapeRouter.{Error, SealedChunk, ShapeLog}

  @moduletag :tmp_dir

  defp json(id, text \\ ""),
    do:
      ~s({"key":"t/#{id}","value":{"id":"#{id}","text":"#{text}"},"headers":{"operation":"insert"}})

  defp entry({_, op} = offset, text \\ ""), do: {offset, "t/#{op}", :insert, json(op, text)}
  defp entries(tx, ops, text), do: for(op <- ops, do: entry({tx, op}, text))

  defp header(headers, name), do: with({_, value} <- List.keyfind(headers, name, 0), do: value)

  # Reads on from an offset to the end, and says how each answer came.
  defp read_all(log, offset, opts \\ [], done \\ []) do
    answer = ShapeLog.read(log, offset, opts)

    {kind, json, headers} =
      case answer do
        {:cached, json, headers} ->
          {:cached, json, headers}

        {:stream, pieces, headers} ->
          {:stream, pieces |> Enum.to_list() |> IO.iodata_to_binary(), headers}

        {:sendfile, path, 0, length, headers} ->
          {:sendfile, whole(path, length), headers}
      end

    :ok = ShapeLog.release()
    {:ok, next} = headers |> header("electric-offset") |> ShapeLog.parse_offset()
    done = [{kind, json} | done]

    if header(headers, "electric-up-to-date"),
      do: {Enum.reverse(done), next},
      else: read_all(log, next, opts, done)
  end

  defp whole(path, length) do
    bytes = File.read!(path)
    assert byte_size(bytes) == length
    bytes
  end

  defp ids(answers),
    do:
      for(
        {_, json} <- answers,
        [_, id] <- Regex.scan(~r/"key":"t\/(\d+)"/, json),
        do: String.to_integer(id)
      )

  test "what is appended is read, from any offset", %{tmp_dir: dir} do
    {:ok, log} = ShapeLog.open(dir)
    assert {:cached, "[]", headers} = ShapeLog.read(log, :before_all)
    assert header(headers, "electric-offset") == "0_0"
    assert header(headers, "electric-up-to-date") == ""

    assert :ok = ShapeLog.append(log, entries(10, 1..3, "") ++ entries(11, 4..4, ""))
    assert {11, 4} = ShapeLog.newest(log)
    assert {:cached, json, headers} = ShapeLog.read(log, {10, 2})
    assert json == "[#{json(3)},#{json(4)}]"
    assert header(headers, "electric-offset") == "11_4"
    assert {[cached: "[" <> _] = answers, {11, 4}} = read_all(log, :before_all)
    assert ids(answers) == [1, 2, 3, 4]
    assert :ok = ShapeLog.close(log)
    assert {:error, %Error{code: :closed}} = ShapeLog.read(log, {10, 2})
  end

  test "entries that do not follow are refused", %{tmp_dir: dir} do
    {:ok, log} = ShapeLog.open(dir)
    :ok = ShapeLog.append(log, entries(10, 1..3, ""))
    assert {:error, %Error{code: :out_of_order}} = ShapeLog.append(log, entries(10, 3..3, ""))

    assert {:error, %Error{code: :out_of_order}} =
             ShapeLog.append(log, [entry({11, 5}), entry({11, 5})])

    assert {:error, %Error{code: :out_of_order}} =
             ShapeLog.append(log, [entry({11, 5}), entry({9, 5})])

    # The transaction 10 is over.
    assert {:error, %Error{code: :out_of_order}} = ShapeLog.append(log, entries(10, 4..4, ""))

    assert {:error, %Error{code: :invalid_argument}} =
             ShapeLog.append(log, [{{12, 1}, "k", :nothing, "{}"}])

    assert_raise ArgumentError, fn -> ShapeLog.append(log, [:nothing]) end
    assert {:error, %Error{code: :offset_ahead}} = ShapeLog.read(log, {10, 4})
    assert {:error, %Error{code: :invalid_argument}} = ShapeLog.read(log, 10)
    assert {:error, %Error{code: :invalid_argument}} = ShapeLog.read(log, {10, 1}, fast: true)
    assert {10, 3} = ShapeLog.newest(log)
  end

  test "chunks are sealed, served as files, verified and removed", %{tmp_dir: dir} do
    {:ok, log} = ShapeLog.open(dir, chunk_bytes_threshold: 100_000, gzip: true)
    text = String.duplicate("x", 1000)
    for tx <- 1..500, do: :ok = ShapeLog.append(log, [entry({tx, tx}, text)])
    assert {:ok, _} = SealedChunk.seal(log)
    assert [first, second | _] = chunks = SealedChunk.list(log)
    assert length(chunks) == 5
    assert %SealedChunk{start: {0, 0}, bytes: bytes, gzip_bytes: gzip} = first
    assert bytes >= 100_000 and gzip < bytes
    assert second.start == first.end
    assert SealedChunk.find(log, first.end) == second
    assert SealedChunk.find(log, {1, 1}) == nil
    assert :ok = SealedChunk.verify(log)

    {answers, {500, 500}} = read_all(log, :before_all)
    assert ids(answers) == Enum.to_list(1..500)
    assert Enum.frequencies_by(answers, &elem(&1, 0)).sendfile == 5
    # In the middle of a chunk; from its end on there are files.
    {[{kind, _} | rest] = answers, _} = read_all(log, {3, 3})
    assert kind in [:stream, :cached]
    assert ids(answers) == Enum.to_list(4..500)
    if kind == :stream, do: assert({:sendfile, _} = hd(rest))

    # A client that takes gzip gets the twin.
    assert {:sendfile, path, 0, ^gzip, headers} = ShapeLog.read(log, :before_all, gzip: true)
    assert header(headers, "content-encoding") == "gzip"
    assert path |> File.read!() |> :zlib.gunzip() |> byte_size() == bytes

    # The file stays as long as this process holds it.
    assert :ok = SealedChunk.delete(log, first.seq)
    assert {:error, %Error{code: :unknown_chunk}} = SealedChunk.delete(log, first.seq)
    assert File.exists?(path)
    :ok = ShapeLog.release()
    assert eventually(fn -> not File.exists?(path) end)
    {answers, _} = read_all(log, :before_all)
    assert ids(answers) == Enum.to_list(1..500)

    [path] =
      Path.wildcard(Path.join(dir, "**/#{String.pad_leading("#{second.seq}", 6, "0")}.*.json"))

    garbled = path |> File.read!() |> String.replace("xx", "xy", global: false)
    File.chmod!(path, 0o644)
    File.write!(path, garbled)
    assert {:error, %Error{code: :damaged, message: message}} = SealedChunk.verify(log)
    assert message =~ Path.basename(path)
    :ok = ShapeLog.close(log)
  end

  test "a log that is opened again has everything", %{tmp_dir: dir} do
    {:ok, log} = ShapeLog.open(dir)
    :ok = ShapeLog.append(log, entries(10, 1..3, ""))
    assert {:error, %Error{code: :locked}} = ShapeLog.open(dir)
    :ok = ShapeLog.close(log)
    {:ok, log} = ShapeLog.open(dir)
    {answers, {10, 3}} = read_all(log, :before_all)
    assert ids(answers) == [1, 2, 3]
    # Nothing is in memory after a restart.
    assert [{:stream, _}] = answers
    :ok = ShapeLog.append(log, entries(11, 4..4, ""))
    assert {:cached, _, _} = ShapeLog.read(log, {10, 3})
    :ok = ShapeLog.close(log)
  end

  test "one segment is cut and sealed on demand", %{tmp_dir: dir} do
    {:ok, log} = ShapeLog.open(dir)
    :ok = ShapeLog.append(log, entries(10, 1..2000, String.duplicate("y", 50)))
    assert [] = SealedChunk.list(log)
    assert {:ok, 0} = SealedChunk.seal(log)
    assert {:ok, _} = SealedChunk.seal(log, cut: true)
    assert [%SealedChunk{end: {10, 2000}, count: 2000}] = SealedChunk.list(log)
    assert {[sendfile: _], {10, 2000}} = read_all(log, :before_all)
    :ok = ShapeLog.close(log)
  end

  test "offsets have one text each" do
    assert {:ok, :before_all} = ShapeLog.parse_offset("-1")
    assert {:ok, {0, 0}} = ShapeLog.parse_offset("0_0")
    assert {:ok, {12, 3}} = ShapeLog.parse_offset("12_3")

    for bad <- [
          "",
          "-2",
          "1",
          "1_",
          "_1",
          "01_1",
          "1_01",
          "+1_1",
          "1_2_3",
          "a_b",
          "18446744073709551616_0"
        ] do
      assert :error = ShapeLog.parse_offset(bad)
    end
  end

  defp eventually(check, tries \\ 100) do
    check.() || (tries > 0 && Process.sleep(20) && false) ||
      (tries > 0 && eventually(check, tries - 1))
  end
end
