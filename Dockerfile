# The image of every Tollbook process; docker-compose.yml has the command of each. No secrets inside.
FROM python:3.13-slim AS build
RUN python -m venv /opt/venv
COPY requirements.lock .
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary=:all: -r requirements.lock
# The command `tollbook`, as pyproject.toml declares it: the program itself is not installed, it runs from /app.
RUN printf '#!/opt/venv/bin/python\nimport sys\nfrom cli.main import main\nsys.exit(main())\n' > /opt/venv/bin/tollbook \
    && chmod 755 /opt/venv/bin/tollbook

FROM python:3.13-slim
RUN groupadd --gid 10001 tollbook && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tollbook
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY celeryconfig.py LICENSE ./
COPY core core
COPY tasks tasks
COPY worker worker
COPY cli cli
RUN python -m compileall -q /app
USER 10001:10001
CMD ["celery", "-A", "worker.app", "worker"]
