defmodule ShapeRouter.Index.ShapeFile do
  @moduledoc false
  # The shapes of an index that lives in a directory: which were filed and which were taken back, one
  # frame each, numbered. It is the truth; the index beside it is derived from it.
  #
  # The file is `SHAPES`; docs/formats.md has its bytes.

  alias ShapeRouter.Error

  @magic "SRSHAPES"
  @version 1
  @header_bytes 12

  @type frame ::
          {:type, term()}
          | {:add, number :: pos_integer(), slot :: non_neg_integer(), value :: term(),
             shape_id :: term(), and_where :: term()}
          | {:remove, number :: pos_integer(), slot :: non_neg_integer()}

  @doc """
  Opens the file of a directory, or makes it with `first` as its first frame; with the frames it has.

  A last frame that is not whole is what a crash left: nobody was told that it is there, and it is
  cut. Damage before the last frame is an error, and the file is left as it is.
  """
  @spec open(Path.t(), frame()) :: {:ok, [frame()]} | {:error, Error.t()}
  def open(dir, first) do
    path = path(dir)

    with :ok <- mkdir(dir),
         {:ok, frames, bytes} <- read(path) do
      cond do
        frames == [] -> with :ok <- write_new(path, [first]), do: {:ok, [first]}
        true -> with :ok <- cut(path, bytes), do: {:ok, frames}
      end
    end
  end

  @doc "Appends frames; they are durable when it returns."
  @spec append(Path.t(), [frame()]) :: :ok | {:error, Error.t()}
  def append(dir, frames) do
    path = path(dir)

    # Opened for each: a file belongs to the process that opened it, an index to nobody.
    with_file(path, [:append], fn file ->
      with :ok <- done(:file.write(file, Enum.map(frames, &encode/1)), "write", path) do
        done(:file.datasync(file), "sync", path)
      end
    end)
  end

  @doc "Writes the file anew with these frames: what was taken back goes."
  @spec rewrite(Path.t(), [frame()]) :: :ok | {:error, Error.t()}
  def rewrite(dir, frames), do: write_new(path(dir), frames)

  defp path(dir), do: Path.join(dir, "SHAPES")

  defp cut(path, bytes) do
    if File.stat!(path).size == bytes do
      :ok
    else
      with_file(path, [:read, :write], fn file ->
        with :ok <- done(:file.position(file, bytes), "position", path),
             :ok <- done(:file.truncate(file), "truncate", path) do
          done(:file.sync(file), "sync", path)
        end
      end)
    end
  end

  defp with_file(path, modes, use) do
    case :file.open(path, [:raw, :binary | modes]) do
      {:ok, file} ->
        result = use.(file)
        closed = done(:file.close(file), "close", path)
        if result == :ok, do: closed, else: result

      {:error, reason} ->
        failed(reason, "open", path)
    end
  end

  defp mkdir(dir), do: done(File.mkdir_p(dir), "create", dir)

  # Whole or not at all: under another name, synced, renamed; then the directory itself.
  defp write_new(path, frames) do
    tmp = path <> ".tmp"
    content = [header() | Enum.map(frames, &encode/1)]

    with :ok <- done(File.write(tmp, content, [:raw, :sync]), "write", tmp),
         :ok <- done(:file.rename(tmp, path), "rename", path) do
      with_file(Path.dirname(path), [:read, :directory], &done(:file.sync(&1), "sync", path))
    end
  end

  defp read(path) do
    case File.read(path) do
      {:ok, content} -> parse(content, path)
      {:error, :enoent} -> {:ok, [], 0}
      {:error, reason} -> failed(reason, "read", path)
    end
  end

  defp parse(<<@magic, @version::32, frames::binary>>, path),
    do: frames(frames, @header_bytes, [], path)

  defp parse(<<@magic, version::32, _::binary>>, path) do
    message = "#{path} has format version #{version}; this library reads version #{@version}"
    {:error, %Error{code: :unknown_version, message: message}}
  end

  defp parse(_other, path), do: damaged(path, 0, "it does not begin as a file of shapes does")

  defp frames(<<head::binary-size(8), check::32, rest::binary>> = all, at, done, path) do
    <<size::32, crc::32>> = head

    cond do
      :erlang.crc32(head) != check and zeros?(all) -> {:ok, Enum.reverse(done), at}
      :erlang.crc32(head) != check -> damaged(path, at, "the frame's head is wrong")
      size > byte_size(rest) -> {:ok, Enum.reverse(done), at}
      true -> frame(rest, size, crc, at, done, path)
    end
  end

  # The head itself was torn off, or there is nothing more.
  defp frames(_torn, at, done, _path), do: {:ok, Enum.reverse(done), at}

  defp frame(rest, size, crc, at, done, path) do
    <<payload::binary-size(size), rest::binary>> = rest

    with true <- :erlang.crc32(payload) == crc,
         {:ok, frame} <- decode(payload) do
      frames(rest, at + 12 + size, [frame | done], path)
    else
      # The last one: its length reached the disk and its bytes did not.
      false when rest == <<>> -> {:ok, Enum.reverse(done), at}
      _ -> damaged(path, at, "the frame is not what was written")
    end
  end

  # A file that grew before its bytes were written.
  defp zeros?(bytes), do: bytes == :binary.copy(<<0>>, byte_size(bytes))

  defp decode(payload) do
    {:ok, :erlang.binary_to_term(payload)}
  rescue
    ArgumentError -> :error
  end

  defp header, do: <<@magic, @version::32>>

  defp encode(frame) do
    payload = :erlang.term_to_binary(frame)
    head = <<byte_size(payload)::32, :erlang.crc32(payload)::32>>
    [head, <<:erlang.crc32(head)::32>>, payload]
  end

  defp damaged(path, at, what),
    do: {:error, %Error{code: :damaged, message: "#{path} is damaged at byte #{at}: #{what}"}}

  defp done(:ok, _operation, _path), do: :ok
  defp done({:ok, _position}, _operation, _path), do: :ok
  defp done({:error, reason}, operation, path), do: failed(reason, operation, path)

  defp failed(reason, operation, path) do
    message = "#{operation} #{path}: #{:file.format_error(reason)}"
    {:error, %Error{code: :io_error, message: message}}
  end
end
