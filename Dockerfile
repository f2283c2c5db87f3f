# The suite on a CPU: docker build -t adhelpers . && docker run --rm -p 8888:8888 -v "$PWD/results:/opt/adhelpers/results" adhelpers
FROM python:3.11-slim
WORKDIR /opt/adhelpers
COPY requirements.txt pyproject.toml README.md LICENSE ./
COPY adhelpers adhelpers
RUN pip install --no-cache-dir --requirement requirements.txt && python -m compileall -q -j 0 /usr/local/lib/python3.11/site-packages adhelpers || true
COPY notebooks notebooks
COPY results/README.md results/
COPY models/README.md models/
EXPOSE 8888
CMD ["python", "-m", "jupyter", "lab", "--ip=0.0.0.0", "--allow-root", "--no-browser", "notebooks"]
